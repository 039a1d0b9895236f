package tokend

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// maxPending bounds the requests for consent that are remembered.
const maxPending = 1000

// consents are the requests for consent, with their answers.
type consents struct {
	mu      sync.Mutex // guards what follows
	pending map[string]*consent
}

// consent is one request: by device code, or in a browser.
type consent struct {
	id       string // user code, or number of the request
	clientID string
	scope    string
	expires  time.Time
	offline  bool // a refresh token is asked for

	device   string           // device code; "": in a browser
	auto     *mailbox.Mailbox // consents by itself, after the first poll; or nil
	lastPoll time.Time
	polls    int

	redirect, state, challenge string // of a browser
	code                       string // once given

	box    *mailbox.Mailbox // the mailbox that consented, or nil
	denied bool
}

// add keeps a request. If there are too many, it forgets the request that expires
// first.
func (cs *consents) add(c *consent) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.pending) >= maxPending {
		byExpiry := func(a, b *consent) int { return a.expires.Compare(b.expires) }
		oldest := slices.MinFunc(slices.Collect(maps.Values(cs.pending)), byExpiry)
		delete(cs.pending, oldest.id)
	}
	cs.pending[c.id] = c
}

// Consent answers a request for consent. id is a user code, or an id that /consent
// lists; email is the mailbox that consents, "" refuses. It returns where to send
// the browser, "" for a device code.
func (s *Server) Consent(id, email string) (redirect string, err error) {
	box := s.boxes.Mailbox(email)
	if box == nil && email != "" {
		return "", fmt.Errorf("there is no account %q", email)
	}
	s.consents.mu.Lock()
	defer s.consents.mu.Unlock()
	c := s.consents.pending[strings.ToUpper(id)]
	switch {
	case c == nil || !s.now().Before(c.expires) || c.box != nil || c.denied:
		return "", errors.New("nothing waits for consent under that id")
	case box != nil && box.ClientID != c.clientID:
		return "", fmt.Errorf("account %s is of another client", email)
	}
	return c.answer(box), nil
}

// answer enters that box consents, or nil refuses. consents.mu is held.
func (c *consent) answer(box *mailbox.Mailbox) (redirect string) {
	c.box, c.denied = box, box == nil
	if c.device != "" {
		return ""
	}
	q := url.Values{"state": {c.state}}
	if box == nil {
		q.Set("error", "access_denied")
		q.Set("error_description", "The user denied the request.")
	} else {
		c.code = "sbc." + rand.Text()
		q.Set("code", c.code)
	}
	return c.redirect + "?" + q.Encode()
}

// find returns the request that matches, or nil. cs.mu is held.
func (cs *consents) find(match func(*consent) bool) *consent {
	for _, c := range cs.pending {
		if match(c) {
			return c
		}
	}
	return nil
}

// boxOfClient returns the client's mailbox with that address, or its first, or nil.
func (s *Server) boxOfClient(clientID, email string) *mailbox.Mailbox {
	var first *mailbox.Mailbox
	for _, m := range s.boxes.Mailboxes() {
		switch {
		case m.ClientID != clientID:
		case strings.EqualFold(m.Email, email):
			return m
		case first == nil:
			first = m
		}
	}
	return first
}

// knownScope reports whether a scope lets mail be submitted.
func knownScope(provider, scope string) bool {
	return slices.Contains(strings.Fields(scope), scopes[provider])
}

// serveDeviceCode is the device authorization endpoint.
func (s *Server) serveDeviceCode(ctx *fasthttp.RequestCtx) {
	clientID, scope := string(ctx.PostArgs().Peek("client_id")), string(ctx.PostArgs().Peek("scope"))
	shape, box := s.grants.shape(clientID), s.boxOfClient(clientID, "")
	switch {
	case box == nil:
		refuse(&request{RequestCtx: ctx, shape: mailbox.Outlook}, unknownApp)
		return
	case !knownScope(shape, scope):
		refuse(&request{RequestCtx: ctx, shape: shape}, &refusal{400, "invalid_scope", 70011, "The provided value for the input parameter 'scope' is not valid."})
		return
	}
	c := &consent{id: rand.Text()[:8], clientID: clientID, scope: scope, device: "sbd." + rand.Text(),
		expires: s.now().Add(time.Duration(s.cfg.CodeLifetime)), offline: asksOffline(shape, scope, true)}
	if s.cfg.Consent == "auto" {
		c.auto = box
	}
	s.consents.add(c)
	page := "http://" + s.addr + "/consent"
	SendJSON(ctx, 200, map[string]any{
		"device_code": c.device, "user_code": c.id, "verification_uri": page,
		"verification_uri_complete": page + "?id=" + c.id,
		"expires_in":                int(time.Duration(s.cfg.CodeLifetime) / time.Second),
		"interval":                  int(time.Duration(s.cfg.DevicePoll) / time.Second),
		"message":                   "To sign in, open " + page + " and enter the code " + c.id + ".",
	})
}

// asksOffline reports whether a refresh token is asked for: by a scope at
// Microsoft, by a parameter at Google.
func asksOffline(shape, scope string, parameter bool) bool {
	if shape == mailbox.Outlook {
		return slices.Contains(strings.Fields(scope), "offline_access")
	}
	return parameter
}

// serveAuthorize is the authorization endpoint.
func (s *Server) serveAuthorize(ctx *fasthttp.RequestCtx) {
	get := func(key string) string { return string(ctx.QueryArgs().Peek(key)) }
	c := &consent{id: rand.Text()[:12], clientID: get("client_id"), scope: get("scope"), redirect: get("redirect_uri"),
		state: get("state"), challenge: get("code_challenge"), expires: s.now().Add(time.Duration(s.cfg.CodeLifetime))}
	shape := s.grants.shape(c.clientID)
	box := s.boxOfClient(c.clientID, get("login_hint"))
	switch { // these errors must not go back by redirect (RFC 6749 section 4.1.2.1)
	case box == nil:
		SendError(ctx, 400, "unknown client")
		return
	case !isLoopbackURL(c.redirect):
		SendError(ctx, 400, "redirect_uri is not on the loopback")
		return
	}
	c.offline = asksOffline(shape, c.scope, get("access_type") == "offline")
	code := ""
	switch {
	case get("response_type") != "code":
		code = "unsupported_response_type"
	case !knownScope(shape, c.scope):
		code = "invalid_scope"
	case c.challenge != "" && get("code_challenge_method") != "S256", c.challenge == "" && box.ClientSecret == "":
		code = "invalid_request" // a public client needs PKCE (RFC 8252 section 6)
	}
	if code != "" {
		redirectTo(ctx, c.redirect+"?"+url.Values{"error": {code}, "state": {c.state}}.Encode())
		return
	}
	s.consents.add(c)
	if s.cfg.Consent == "manual" {
		redirectTo(ctx, "/consent?id="+c.id)
		return
	}
	s.consents.mu.Lock()
	to := c.answer(box)
	s.consents.mu.Unlock()
	redirectTo(ctx, to)
}

// redirectTo sends the browser on. fasthttp's Redirect would complete the URL.
func redirectTo(ctx *fasthttp.RequestCtx, to string) {
	ctx.SetStatusCode(fasthttp.StatusFound)
	ctx.Response.Header.Set("Location", to)
}

func isLoopbackURL(redirect string) bool {
	u, err := url.Parse(redirect)
	if err != nil || u.Scheme != "http" || u.RawQuery != "" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// serveConsent lists the requests that wait, or answers one.
func (s *Server) serveConsent(ctx *fasthttp.RequestCtx) {
	id, email := string(ctx.QueryArgs().Peek("id")), string(ctx.QueryArgs().Peek("account"))
	if id != "" && ctx.QueryArgs().Has("account") {
		redirect, err := s.Consent(id, email)
		switch {
		case err != nil:
			SendError(ctx, 400, err.Error())
		case redirect != "":
			redirectTo(ctx, redirect)
		default:
			SendJSON(ctx, 200, map[string]bool{"consented": email != ""})
		}
		return
	}
	type entry struct {
		ID       string   `json:"id"`
		ClientID string   `json:"client_id"`
		Scope    string   `json:"scope"`
		Accounts []string `json:"accounts"`
	}
	list := []entry{}
	s.consents.mu.Lock()
	for _, c := range s.consents.pending {
		if c.box == nil && !c.denied && s.now().Before(c.expires) && (id == "" || c.id == id) {
			list = append(list, entry{ID: c.id, ClientID: c.clientID, Scope: c.scope})
		}
	}
	s.consents.mu.Unlock()
	for i := range list {
		for _, m := range s.boxes.Mailboxes() {
			if m.ClientID == list[i].ClientID {
				list[i].Accounts = append(list[i].Accounts, m.Email)
			}
		}
	}
	SendJSON(ctx, 200, list)
}

// answerConsent exchanges a device or authorization code for tokens.
func (s *Server) answerConsent(r *request) {
	c, no := s.redeem(r)
	if no != nil {
		refuse(r, no)
		return
	}
	more := map[string]any{"scope": c.scope}
	if c.offline {
		more["refresh_token"] = s.grants.consented(c.box)
		s.tellLife(c.box, more)
	}
	c.box.Count(func(st *mailbox.Stats) { st.TokenRequests++; st.TokensIssued++ })
	s.sendToken(r, c.box.Provider, s.grants.issue(c.box, s.lifetime(), true), more)
}

// redeem uses up a code.
func (s *Server) redeem(r *request) (*consent, *refusal) {
	s.consents.mu.Lock()
	defer s.consents.mu.Unlock()
	now := s.now()
	if r.get("grant_type") == grantDeviceCode {
		return s.redeemDevice(r, now)
	}
	code := r.get("code")
	c := s.consents.find(func(c *consent) bool { return c.code != "" && c.code == code })
	if c == nil || !now.Before(c.expires) || c.clientID != r.clientID {
		return nil, &refusal{400, "invalid_grant", 54005, "The code was already redeemed or is not known."}
	}
	delete(s.consents.pending, c.id) // a code can be tried once
	sum := sha256.Sum256([]byte(r.get("code_verifier")))
	switch {
	case c.redirect != r.get("redirect_uri"):
		return nil, &refusal{400, "invalid_grant", 50011, "The redirect address is another one."}
	case c.challenge != "" && !secretsEqual(c.challenge, base64.RawURLEncoding.EncodeToString(sum[:])):
		return nil, &refusal{400, "invalid_grant", 501481, "The code_verifier does not match the code_challenge supplied in the authorization request."}
	case !secretsEqual(c.box.ClientSecret, r.secret):
		return nil, wrongSecret
	}
	return c, nil
}

// redeemDevice answers one poll. consents.mu is held.
func (s *Server) redeemDevice(r *request, now time.Time) (*consent, *refusal) {
	code := r.get("device_code")
	c := s.consents.find(func(c *consent) bool { return c.device != "" && c.device == code })
	switch {
	case c == nil || c.clientID != r.clientID:
		return nil, &refusal{400, "invalid_grant", 70000, "The device code is not known."}
	case !now.Before(c.expires):
		delete(s.consents.pending, c.id)
		return nil, &refusal{400, "expired_token", 70020, "The device code expired."}
	case c.denied:
		delete(s.consents.pending, c.id)
		return nil, &refusal{400, "access_denied", 70018, "The user denied the request."}
	}
	early := !c.lastPoll.IsZero() && now.Sub(c.lastPoll) < time.Duration(s.cfg.DevicePoll)
	c.lastPoll = now
	c.polls++
	if !early && c.box == nil && c.polls > 1 { // the person needed a moment
		c.box = c.auto
	}
	switch {
	case early:
		return nil, &refusal{400, "slow_down", 70017, "The client polls too often."}
	case c.box == nil:
		return nil, &refusal{400, "authorization_pending", 70016, "The user has not yet consented."}
	case !secretsEqual(c.box.ClientSecret, r.secret):
		return nil, wrongSecret
	}
	delete(s.consents.pending, c.id)
	return c, nil
}
