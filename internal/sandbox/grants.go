package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// keptRefreshTokens bounds how many rotated refresh tokens of an account stay
// valid when rotation does not invalidate them.
const keptRefreshTokens = 16

// minTokenLength keeps access tokens random enough to be unique.
const minTokenLength = 30

// accessToken is an access token that was issued.
type accessToken struct {
	box     *mailbox.Mailbox // nil: see app
	app     *appClient       // of an application: any mailbox that it may act for
	expires time.Time
	scoped  bool // opens SMTP
}

// grants knows all tokens.
type grants struct {
	cfg TokenConfig
	now func() time.Time

	mu      sync.Mutex // guards what follows
	access  map[string]*accessToken
	refresh map[string]*mailbox.Mailbox
	chains  map[*mailbox.Mailbox]*chain
	clients map[string]int    // accounts of a client id
	shapes  map[string]string // provider of a client id
	apps    map[string]*appClient
}

// chain is the tokens of one mailbox, oldest first.
type chain struct {
	refresh, access []string
	used            string // refresh token of the last refresh
}

func newGrants(cfg TokenConfig, now func() time.Time) *grants {
	return &grants{cfg: cfg, now: now, access: map[string]*accessToken{}, refresh: map[string]*mailbox.Mailbox{},
		chains: map[*mailbox.Mailbox]*chain{}, clients: map[string]int{}, shapes: map[string]string{},
		apps: map[string]*appClient{}}
}

func (g *grants) add(m *mailbox.Mailbox) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.chains[m] = &chain{refresh: []string{m.RefreshToken}}
	g.refresh[m.RefreshToken] = m
	g.clients[m.ClientID]++
	g.shapes[m.ClientID] = m.Provider
}

// shape returns the provider of a client id, "" when it is unknown.
func (g *grants) shape(clientID string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.apps[clientID]; c != nil {
		return c.Provider
	}
	return g.shapes[clientID]
}

// owner returns the mailbox that a refresh token belongs to, or nil.
func (g *grants) owner(refresh string) *mailbox.Mailbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refresh[refresh]
}

// issue makes an access token. It returns "" if the mailbox was removed.
func (g *grants) issue(m *mailbox.Mailbox, lifetime time.Duration, scoped bool) string {
	token := g.randomToken(m.Provider)
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.chains[m]
	if c == nil {
		return ""
	}
	c.access = slices.DeleteFunc(c.access, func(t string) bool {
		old := g.access[t].expires.Before(now)
		if old {
			delete(g.access, t)
		}
		return old
	})
	c.access = append(c.access, token)
	g.access[token] = &accessToken{box: m, expires: now.Add(lifetime), scoped: scoped}
	return token
}

// issueApp makes an access token of a client: for all that it may act for, or
// for the mailbox m alone.
func (g *grants) issueApp(c *appClient, m *mailbox.Mailbox, lifetime time.Duration) string {
	if m != nil {
		m.Count(func(st *mailbox.Stats) { st.TokenRequests++; st.TokensIssued++ })
		return g.issue(m, lifetime, true)
	}
	token := g.randomToken(c.Provider)
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	for t, old := range g.access { // there are few clients, and few of these
		if old.app == c && old.expires.Before(now) {
			delete(g.access, t)
		}
	}
	g.access[token] = &accessToken{app: c, expires: now.Add(lifetime), scoped: true}
	return token
}

func (g *grants) addClient(c *appClient) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.apps[c.ID] = c
}

func (g *grants) client(id string) *appClient {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apps[id]
}

// use notes which refresh token was used.
func (g *grants) use(m *mailbox.Mailbox, refresh string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.chains[m]; c != nil {
		c.used = refresh
	}
}

// randomToken returns a random token of the length of the provider's.
func (g *grants) randomToken(provider string) string {
	n := g.cfg.Length
	if n == 0 {
		n = 220
		if provider == mailbox.Outlook {
			n = 1800
		}
	}
	token := "sbx."
	for len(token) < max(n, minTokenLength) {
		token += rand.Text()
	}
	return token[:max(n, minTokenLength)]
}

// rotate returns a new refresh token of the mailbox, in place of used.
func (g *grants) rotate(m *mailbox.Mailbox, used string) string {
	token := "sbr." + rand.Text() + rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.chains[m]
	if c == nil {
		return ""
	}
	if i := slices.Index(c.refresh, used); i >= 0 && g.cfg.InvalidateOld {
		c.refresh = slices.Delete(c.refresh, i, i+1)
		delete(g.refresh, used)
	}
	c.refresh = append(c.refresh, token)
	g.refresh[token] = m
	for len(c.refresh) > keptRefreshTokens {
		delete(g.refresh, c.refresh[0])
		c.refresh = c.refresh[1:]
	}
	return token
}

func (g *grants) rotates(m *mailbox.Mailbox) bool {
	return g.cfg.Rotation == "on" || g.cfg.Rotation == "preset" && m.Provider == mailbox.Outlook
}

// check reports whether an access token opens the mailbox at an endpoint: it is
// the mailbox's own, or of a client that may act for it.
func (g *grants) check(m *mailbox.Mailbox, token, endpoint string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.access[token]
	if m == nil || t == nil || !t.scoped || !t.expires.After(g.now()) || m.Endpoint != endpoint {
		return false
	}
	return t.box == m || t.app != nil && t.app.mayActFor(m)
}

// expire makes all access tokens of the mailbox expired; with refresh also
// all refresh tokens invalid.
func (g *grants) expire(m *mailbox.Mailbox, refresh bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.chains[m]
	if c == nil {
		return
	}
	for _, t := range c.access {
		delete(g.access, t)
	}
	c.access = nil
	if refresh {
		for _, t := range c.refresh {
			delete(g.refresh, t)
		}
		c.refresh = nil
	}
}

// newest returns the refresh token that was issued last, "" when revoked.
func (g *grants) newest(m *mailbox.Mailbox) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.chains[m]; c != nil && len(c.refresh) > 0 {
		return c.refresh[len(c.refresh)-1]
	}
	return ""
}

// lastUsed returns the refresh token of the last refresh.
func (g *grants) lastUsed(m *mailbox.Mailbox) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.chains[m]; c != nil {
		return c.used
	}
	return ""
}

// secretsEqual compares in constant time, as a token endpoint should.
func secretsEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// IssueToken makes an access token for the account without the token endpoint.
// It returns "" if there is no such account.
func (s *Server) IssueToken(email string, lifetime time.Duration) string {
	m := s.Mailbox(email)
	if m == nil {
		return ""
	}
	return s.grants.issue(m, lifetime, true)
}

// ExpireTokens ends the validity of all access tokens of the account.
func (s *Server) ExpireTokens(email string) {
	if m := s.Mailbox(email); m != nil {
		s.grants.expire(m, false)
	}
}

// RevokeGrant ends the validity of all access and refresh tokens of the
// account, as a password change or the withdrawal of consent does.
func (s *Server) RevokeGrant(email string) {
	if m := s.Mailbox(email); m != nil {
		s.grants.expire(m, true)
	}
}

// RefreshToken returns the refresh token of the account that was issued last,
// "" if it was revoked or there is no such account.
func (s *Server) RefreshToken(email string) string {
	if m := s.Mailbox(email); m != nil {
		return s.grants.newest(m)
	}
	return ""
}

// UsedRefreshToken returns the refresh token that the last successful refresh
// of the account was asked for with, "" if there was none.
func (s *Server) UsedRefreshToken(email string) string {
	if m := s.Mailbox(email); m != nil {
		return s.grants.lastUsed(m)
	}
	return ""
}

// Opens reports whether an access token opens the mailbox over SMTP now.
func (s *Server) Opens(email, token string) bool {
	m := s.Mailbox(email)
	return m != nil && s.grants.check(m, token, m.Endpoint)
}

// RefreshTokens returns the refresh tokens of the account that are valid, oldest
// first.
func (s *Server) RefreshTokens(email string) []string {
	m := s.Mailbox(email)
	if m == nil {
		return nil
	}
	s.grants.mu.Lock()
	defer s.grants.mu.Unlock()
	if c := s.grants.chains[m]; c != nil {
		return slices.Clone(c.refresh)
	}
	return nil
}
