package server

import (
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/server/internal/journal"
)

// who is what the log says of the session.
func (s *session) who() journal.Client {
	c := journal.Client{Session: s.id, Remote: s.remote, User: s.tried}
	if s.account != nil {
		c.Account, c.Email, c.User = s.account.ID, s.account.Email, ""
	}
	return c
}

// refused logs a refusal that the proxy itself has decided.
func (s *session) refused(text, reason string, more ...zap.Field) {
	s.srv.journal.Refused(s.who(), text, reason, more...)
}

// logOutcome logs the reply to a message, if that is configured.
func (s *session) logOutcome(r codec.Reply, recipients int, octets int64) {
	if s.srv.cfg.LogMessages.Wants(r.Positive()) {
		s.srv.journal.Outcome(s.who(), r, recipients, octets)
	}
}
