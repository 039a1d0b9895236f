package server

import (
	"xoauth2-proxy/server/internal/records"
	"xoauth2-proxy/upstream"
)

// client is what records say of the session.
func (s *session) client() records.Client {
	return records.Client{Session: s.id, Addr: s.source, Listener: s.listener.name, Account: s.account}
}

// Late implements upstream.Completer. It may be called when the session has ended, and on
// any goroutine: it looks only at what does not change.
func (s *session) Late(tx *upstream.Transaction) {
	c := records.Client{Session: s.id, Addr: s.source, Listener: s.listener.name}
	records.NewPen(s.srv.cfg.Accounting).Message(c, tx, true)
}
