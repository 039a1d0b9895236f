package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/watchdog"
)

// openQuota opens the counts of the day; nil if the settings name no directory for
// them.
func openQuota(s *config.Settings, log *zap.Logger, accounts *account.Snapshot) (*handover.Counts, error) {
	if s.StateDir == "" {
		return nil, nil
	}
	return handover.NewCounts(func() (*quota.Store, error) {
		file, err := openQuotaFile(s, log)
		if err == nil {
			countByMailbox(file, accounts)
		}
		return file, err
	})
}

func openQuotaFile(s *config.Settings, log *zap.Logger) (*quota.Store, error) {
	store, damaged, err := quota.Open(s.StateDir)
	if damaged != "" {
		log.Error("the counts of the day were damaged and begin anew", zap.String("kept", damaged))
	}
	if err != nil {
		return nil, fmt.Errorf("state_dir: %w", err)
	}
	store.Replaced = func(kept string, why error) {
		log.Error("the file with the counts of the day broke while it was in use: a new one has them", zap.String("kept", kept), zap.Error(why))
	}
	return store, nil
}

// openAccounting opens the accounting log; nil if the settings name no directory for it. Its
// state file is best in the runtime directory: that is in memory, so that no disk can stop
// who numbers a record.
func openAccounting(o *Options, watch *watchdog.Watchdog, set *metrics.Set) (*accounting.Log, error) {
	cfg := o.Settings.Accounting
	if cfg.Directory = o.Settings.AccountingDir(); cfg.Directory == "" {
		return nil, nil
	}
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		cfg.StateFile = filepath.Join(dir, "accounting.state")
	}
	cfg.Version, cfg.Watch = o.Version, watch
	return accounting.Open(cfg, o.Log.Named("accounting"), set)
}

// unsaved returns what the stores, which may be nil, cannot save at present.
func unsaved(kept *handover.Tokens, counts *handover.Counts) (reasons []string) {
	if kept != nil {
		if err := kept.Failing(); err != nil {
			reasons = append(reasons, "tokens are in memory only: "+err.Error())
		}
	}
	if counts != nil {
		if err := counts.Failing(); err != nil {
			reasons = append(reasons, "the counts of the day are in memory only: "+err.Error())
		}
	}
	return reasons
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
