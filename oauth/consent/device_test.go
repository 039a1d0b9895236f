package consent

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// polled is a provider that gives a device code and answers polls in turn; after the
// last answer it gives a token. Times are in the seconds of the authorizer.
type polled struct {
	device  map[string]any // fields of the first answer, beside the usual ones
	answers []http.HandlerFunc

	mu    sync.Mutex
	polls []time.Time
}

// second is the polling second of these tests.
const second = 2 * time.Millisecond

func (p *polled) authorize(t *testing.T) (*Result, error) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/devicecode" {
			fields := map[string]any{"device_code": "dc", "user_code": "UC", "verification_uri": "https://example.com", "interval": 1, "expires_in": 900}
			for name, v := range p.device {
				fields[name] = v
			}
			tokentest.GiveJSON(w, 200, fields)
			return
		}
		p.mu.Lock()
		p.polls = append(p.polls, time.Now())
		n := len(p.polls)
		p.mu.Unlock()
		if n <= len(p.answers) {
			p.answers[n-1](w, r)
			return
		}
		tokentest.GiveToken(w, map[string]any{"access_token": "A", "refresh_token": "R"})
	})
	z := New(oauth.DefaultConfig(), Config{Account: tokentest.Account(ts.URL), DeviceURL: ts.URL + "/devicecode", Scope: "s"})
	z.second = second
	t.Cleanup(z.Close)
	return z.DeviceAuthorize(t.Context(), func(Prompt) {})
}

// checkGaps checks that polls are at least so many seconds apart.
func (p *polled) checkGaps(t *testing.T, least ...int) {
	t.Helper()
	if len(p.polls) != len(least)+1 {
		t.Fatalf("%d polls, want %d", len(p.polls), len(least)+1)
	}
	for i, n := range least {
		if gap := p.polls[i+1].Sub(p.polls[i]); gap < time.Duration(n)*second {
			t.Errorf("poll %d comes after %v, want %d seconds of %v at least", i+2, gap, n, second)
		}
	}
}

func retryAfter(seconds string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", seconds)
		h(w, r)
	}
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html><body>Service Unavailable</body></html>"))
	}
}

// TestPollingGoesOn has one poll fail in every way that passes: polling goes on, slower,
// and never before the time that the endpoint asked for.
func TestPollingGoesOn(t *testing.T) {
	pending := tokentest.GiveError(400, "authorization_pending", "AADSTS70016: Pending end-user authorization.")
	tests := []struct {
		name   string
		answer http.HandlerFunc
		least  int // seconds until the next poll
	}{
		{"pending", pending, 1},
		{"pending in capitals", tokentest.GiveError(400, "Authorization_Pending", ""), 1},
		{"pending with 200", tokentest.GiveError(200, "authorization_pending", ""), 1},
		{"pending, Retry-After", retryAfter("7", pending), 7},
		{"slow_down", tokentest.GiveError(400, "slow_down", ""), 6},
		{"slow_down, Retry-After", retryAfter("9", tokentest.GiveError(429, "slow_down", "")), 9},
		{"500", tokentest.GiveError(500, "", ""), 2},
		{"502, HTML", page(502), 2},
		{"503, HTML, Retry-After", retryAfter("11", page(503)), 11},
		{"200, HTML", page(200), 2},
		{"403, HTML", page(403), 2},
		{"404, HTML", page(404), 2},
		{"429", tokentest.GiveError(429, "", ""), 2},
		{"429, Retry-After", retryAfter("8", tokentest.GiveError(429, "rate_limit_exceeded", "")), 8},
		{"server_error", tokentest.GiveError(400, "server_error", ""), 2},
		{"server_error with 200", tokentest.GiveError(200, "server_error", ""), 2},
		{"server_error with 500", tokentest.GiveError(500, "server_error", ""), 2},
		{"temporarily_unavailable", tokentest.GiveError(400, "temporarily_unavailable", ""), 2},
		{"temporarily_unavailable with 403", tokentest.GiveError(403, "temporarily_unavailable", ""), 2},
		{"passing number", tokentest.GiveError(400, "invalid_grant", "AADSTS90006: again"), 2},
		{"empty body", func(http.ResponseWriter, *http.Request) {}, 2},
		{"connection lost", func(w http.ResponseWriter, _ *http.Request) {
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				panic(err)
			}
			_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Le")
			_ = rw.Flush()
			c.Close()
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &polled{answers: []http.HandlerFunc{pending, tt.answer}}
			r, err := p.authorize(t)
			if err != nil || r.RefreshToken.Reveal() != "R" {
				t.Fatal(err)
			}
			p.checkGaps(t, 1, tt.least)
		})
	}
}

// TestPollingEnds has answers after which no poll is of use.
func TestPollingEnds(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   error
		hint   string
	}{
		{"declined", tokentest.GiveError(400, "authorization_declined", "AADSTS70017: The user declined."), flow.ErrInteractionRequired, "the person refused"},
		{"denied", tokentest.GiveError(400, "access_denied", ""), flow.ErrInteractionRequired, "the person refused"},
		{"expired", tokentest.GiveError(400, "expired_token", ""), flow.ErrInteractionRequired, "in time"},
		{"policy", tokentest.GiveError(400, "invalid_grant", "AADSTS53003: Access has been blocked by Conditional Access policies."), flow.ErrInvalidGrant, "--method browser"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &polled{answers: []http.HandlerFunc{tt.answer}}
			_, err := p.authorize(t)
			e, _ := errors.AsType[*oauth.Error](err)
			if !errors.Is(err, tt.want) || !strings.Contains(e.Hint.Remedy(), tt.hint) || len(p.polls) != 1 {
				t.Errorf("%v, hint %q, %d polls", err, e.Hint, len(p.polls))
			}
		})
	}
}

// TestPollingUntilExpiry has an endpoint that is down until the code expires: that is
// what the error says.
func TestPollingUntilExpiry(t *testing.T) {
	p := &polled{device: map[string]any{"expires_in": 1}}
	for range 1000 {
		p.answers = append(p.answers, page(503))
	}
	if _, err := p.authorize(t); !errors.Is(err, flow.ErrUnavailable) || len(p.polls) < 2 {
		t.Errorf("%v after %d polls", err, len(p.polls))
	}
	p = &polled{device: map[string]any{"expires_in": "1"}}
	for range 1000 {
		p.answers = append(p.answers, tokentest.GiveError(400, "authorization_pending", ""))
	}
	if _, err := p.authorize(t); !errors.Is(err, flow.ErrInteractionRequired) || !strings.Contains(err.Error(), "expired_token") {
		t.Errorf("%v after %d polls", err, len(p.polls))
	}
}

// TestDeviceFields has the numbers of a device code in other forms.
func TestDeviceFields(t *testing.T) {
	for _, tt := range []struct {
		interval any
		least    int
	}{{"3", 3}, {3.0, 3}, {" 3 ", 3}, {"3e0", 3}, {nil, 5}, {"", 5}, {0, 5}, {-1, 5}, {"soon", 5}, {[]int{1}, 5}} {
		p := &polled{device: map[string]any{"interval": tt.interval, "expires_in": "900"},
			answers: []http.HandlerFunc{tokentest.GiveError(400, "authorization_pending", "")}}
		if _, err := p.authorize(t); err != nil {
			t.Fatalf("%v: %v", tt.interval, err)
		}
		p.checkGaps(t, tt.least)
	}
	for _, life := range []any{"900", "9e2", nil, "", 0, -5, "soon", true} {
		if _, err := (&polled{device: map[string]any{"expires_in": life}}).authorize(t); err != nil {
			t.Errorf("expires_in %v: %v", life, err)
		}
	}
}
