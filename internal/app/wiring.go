package app

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/quota"
)

// openQuota opens the counts of the day; nil if the settings name no directory for
// them.
func openQuota(s *config.Settings, log *zap.Logger) (*quota.Store, error) {
	if s.StateDir == "" {
		return nil, nil
	}
	store, damaged, err := quota.Open(s.StateDir)
	if damaged != "" {
		log.Error("the counts of the day were damaged and begin anew", zap.String("kept", damaged))
	}
	return store, err
}

// countByMailbox has the counts that an earlier version saved by account count for the
// mailboxes that the accounts send from.
func countByMailbox(q *quota.Store, accounts *account.Snapshot) {
	q.Rename(func(id string) (mailbox string, ok bool) {
		a, ok := accounts.ByID(id)
		if !ok {
			return "", false
		}
		return a.MailboxKey(), true
	})
}

// adminConfig returns the configuration of the admin listener, with the build and
// the places for its socket.
func adminConfig(o *Options) admin.Config {
	c := o.Settings.Admin.Config
	c.Version, c.Revision = o.Version, o.Revision
	c.Sockets, c.SocketNeeded = AdminSockets(o.Settings)
	return c
}
