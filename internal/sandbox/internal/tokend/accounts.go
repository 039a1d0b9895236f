package tokend

import (
	"slices"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// AddGrant registers the grant of a mailbox: its client and refresh token.
func (s *Server) AddGrant(m *mailbox.Mailbox) {
	g := s.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.chains[m] = &chain{
		refresh: []string{m.RefreshToken}, consent: now, touched: map[string]time.Time{m.RefreshToken: now},
	}
	g.refresh[m.RefreshToken] = m
	g.shapes[m.ClientID] = m.Provider
}

// IssueToken makes an access token for the account without the token endpoint.
// It returns "" if there is no such account.
func (s *Server) IssueToken(email string, lifetime time.Duration) string {
	return s.grants.issue(s.boxes.Mailbox(email), lifetime, true)
}

// ExpireTokens ends the validity of all access tokens of the account.
func (s *Server) ExpireTokens(email string) { s.grants.expire(s.boxes.Mailbox(email), false) }

// RevokeGrant ends the validity of all access and refresh tokens of the
// account, as a password change or the withdrawal of consent does.
func (s *Server) RevokeGrant(email string) { s.grants.expire(s.boxes.Mailbox(email), true) }

// RefreshTokens returns the refresh tokens of the account that are valid, oldest
// first.
func (s *Server) RefreshTokens(email string) (tokens []string) {
	s.grants.with(s.boxes.Mailbox(email), func(c *chain) { tokens = slices.Clone(c.refresh) })
	return tokens
}

// RefreshToken returns the refresh token of the account that was issued last,
// "" if it was revoked or there is no such account.
func (s *Server) RefreshToken(email string) string {
	tokens := s.RefreshTokens(email)
	if len(tokens) == 0 {
		return ""
	}
	return tokens[len(tokens)-1]
}

// UsedRefreshToken returns the refresh token of the account's last successful
// refresh, "" if there was none.
func (s *Server) UsedRefreshToken(email string) (token string) {
	s.grants.with(s.boxes.Mailbox(email), func(c *chain) { token = c.used })
	return token
}

// Opens reports whether an access token opens the mailbox over SMTP now.
func (s *Server) Opens(email, token string) bool {
	m := s.boxes.Mailbox(email)
	return m != nil && s.Accepts(m, token, m.Endpoint)
}

// Accepts reports whether an access token opens the mailbox at an endpoint: it is
// the mailbox's own, or a client's that may act for it.
func (s *Server) Accepts(m *mailbox.Mailbox, token, endpoint string) bool {
	g := s.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.access[token]
	if m == nil || t == nil || !t.scoped || !t.expires.After(g.now()) || m.Endpoint != endpoint {
		return false
	}
	return t.box == m || t.app != nil && t.app.mayActFor(m)
}
