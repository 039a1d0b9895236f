package tokend

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

// grants knows all tokens.
type grants struct {
	cfg Config
	now func() time.Time

	mu      sync.Mutex // guards what follows
	access  map[string]*accessToken
	refresh map[string]*mailbox.Mailbox
	chains  map[*mailbox.Mailbox]*chain
	shapes  map[string]string // provider of a client id
	apps    map[string]*appClient
}

// accessToken is an access token that was issued.
type accessToken struct {
	box     *mailbox.Mailbox // nil: see app
	app     *appClient       // an application, for any mailbox that it may act for
	expires time.Time
	scoped  bool // opens SMTP
}

// chain is the tokens of one mailbox, oldest first.
type chain struct {
	refresh, access []string
	used            string // refresh token of the last refresh
	consent         time.Time
	touched         map[string]time.Time // when each refresh token was issued or used last
}

func newGrants(cfg Config, now func() time.Time) *grants {
	return &grants{cfg: cfg, now: now, access: map[string]*accessToken{}, refresh: map[string]*mailbox.Mailbox{},
		chains: map[*mailbox.Mailbox]*chain{}, shapes: map[string]string{}, apps: map[string]*appClient{}}
}

// with runs f with the chain of the mailbox, if there is one, under the lock.
func (g *grants) with(m *mailbox.Mailbox, f func(*chain)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.chains[m]; c != nil {
		f(c)
	}
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

// client returns the client with that id, or nil.
func (g *grants) client(id string) *appClient {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.apps[id]
}

// owner returns the mailbox that a refresh token belongs to, or nil.
func (g *grants) owner(refresh string) *mailbox.Mailbox {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refresh[refresh]
}

// issue makes an access token for the mailbox.
func (g *grants) issue(m *mailbox.Mailbox, lifetime time.Duration, scoped bool) (token string) {
	now := g.now()
	g.with(m, func(c *chain) {
		c.access = slices.DeleteFunc(c.access, func(t string) bool {
			old := g.access[t].expires.Before(now)
			if old {
				delete(g.access, t)
			}
			return old
		})
		token = g.randomToken(m.Provider)
		c.access = append(c.access, token)
		g.access[token] = &accessToken{box: m, expires: now.Add(lifetime), scoped: scoped}
	})
	return token
}

// issueApp makes an access token of a client for all mailboxes that it may act
// for.
func (g *grants) issueApp(c *appClient, lifetime time.Duration) string {
	token, now := g.randomToken(c.Provider), g.now()
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

// randomToken returns a random token as long as the provider's.
func (g *grants) randomToken(provider string) string {
	n := g.cfg.Length
	if n == 0 {
		n = 220
		if provider == mailbox.Outlook {
			n = 1800
		}
	}
	n = max(n, minTokenLength)
	token := "sbx."
	for len(token) < n {
		token += rand.Text()
	}
	return token[:n]
}

// refreshed notes a successful refresh. It returns the refresh token that takes
// the place of the used one, or "" if the provider does not rotate.
func (g *grants) refreshed(m *mailbox.Mailbox, used string) (token string) {
	g.with(m, func(c *chain) {
		c.used, c.touched[used] = used, g.now()
		if g.cfg.Rotation == "on" || g.cfg.Rotation == "preset" && m.Provider == mailbox.Outlook {
			token = g.rotate(m, c, used)
		}
	})
	return token
}

// consented returns a refresh token for a mailbox that consented.
func (g *grants) consented(m *mailbox.Mailbox) (token string) {
	g.with(m, func(c *chain) {
		c.consent = g.now()
		token = g.rotate(m, c, "")
	})
	return token
}

// lifeEnds returns when the refresh tokens of the mailbox's consent end, used or not.
func (g *grants) lifeEnds(m *mailbox.Mailbox) (end time.Time) {
	g.with(m, func(c *chain) { end = c.consent.Add(time.Duration(m.RefreshLife)) })
	return end
}

// ended returns why a refresh token is good no more, nil if it is.
func (g *grants) ended(m *mailbox.Mailbox, token string) (why *refusal) {
	if m.RefreshLife > 0 && isOver(g.lifeEnds(m), g.now()) {
		return tokenEnded
	}
	g.with(m, func(c *chain) {
		if at, ok := c.touched[token]; ok && m.RefreshIdle > 0 && isOver(at.Add(time.Duration(m.RefreshIdle)), g.now()) {
			why = tokenUnused
		}
	})
	return why
}

// rotate makes a new refresh token, in the place of used. g.mu is held.
func (g *grants) rotate(m *mailbox.Mailbox, c *chain, used string) string {
	token := "sbr." + rand.Text() + rand.Text()
	if i := slices.Index(c.refresh, used); i >= 0 && g.cfg.InvalidateOld {
		c.refresh = slices.Delete(c.refresh, i, i+1)
		delete(g.refresh, used)
	}
	c.refresh = append(c.refresh, token)
	c.touched[token] = g.now()
	g.refresh[token] = m
	for len(c.refresh) > keptRefreshTokens {
		delete(g.refresh, c.refresh[0])
		delete(c.touched, c.refresh[0])
		c.refresh = c.refresh[1:]
	}
	return token
}

// revoke makes one access token void.
func (g *grants) revoke(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.access[token]; t != nil {
		t.scoped = false
	}
}

// expire makes all access tokens of the mailbox expired; with refresh also all
// refresh tokens invalid.
func (g *grants) expire(m *mailbox.Mailbox, refresh bool) {
	g.with(m, func(c *chain) {
		for _, t := range c.access {
			delete(g.access, t)
		}
		c.access = nil
		if !refresh {
			return
		}
		for _, t := range c.refresh {
			delete(g.refresh, t)
		}
		c.refresh = nil
	})
}

// secretsEqual compares in constant time, as a token endpoint should.
func secretsEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
