package server

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestClientGivesUp ends the input of a client that has been silent for longer
// than one that only reads would be.
func TestClientGivesUp(t *testing.T) {
	p := places("a@example.com")
	verdict := p[len(p)-3]
	message := verdict.steps[len(verdict.steps)-4:]
	for _, tt := range []struct {
		name  string
		busy  bool // another message has the only connection to the provider
		quit  bool
		end   func(*client)
		codes string
		sent  int
	}{
		{"message waits", true, false, (*client).CloseWrite, "451", 0},
		{"message waits, after QUIT", true, true, (*client).CloseWrite, "250 221", 1},
		{"message is under way", false, false, (*client).CloseWrite, "250", 1},
		{"message waits, reset", true, false, (*client).Reset, "", 0},
		{"message waits, reset after QUIT", true, true, (*client).Reset, "", 1},
		{"message is under way, reset", false, false, (*client).Reset, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newSlowStack(t)
			provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
				For: sandbox.Duration(500 * time.Millisecond)})
			one := *k.store.Load().All()[0]
			one.Limits.MaxConnections = 1
			snap, err := account.NewSnapshot([]*account.Account{&one})
			if err != nil {
				t.Fatal(err)
			}
			k.store.Swap(snap)
			first := k.login(t, gmailUser)
			if tt.busy {
				first.Mail("first@example.com", "b@example.com")
				first.Cmd("DATA", "354")
				first.Send("text\r\n.\r\n")
				provider.Fired(t, k.sandbox, "think", 1)
			}
			c := k.login(t, gmailUser)
			for _, s := range message {
				c.Send(s.send)
				if s.want != "" {
					c.Expect(s.want)
				}
			}
			if tt.quit {
				c.Send("QUIT\r\n")
			}
			var waits bool
			testkit.Eventually(t, "the message was handed over", func() bool {
				waits = false
				k.inspect(t, func(s *session) {
					waits = waits || s.state == stateAwaitUpstream && s.remote == c.TCP.LocalAddr().String() && (s.in != nil) == tt.quit
				})
				return waits
			})
			if !tt.busy {
				provider.Fired(t, k.sandbox, "think", 1)
			}
			k.inspect(t, func(s *session) { // as if it had said that some time ago
				s.lastInput -= 2 * k.patience
				s.t.complete -= 2 * k.patience
			})
			tt.end(c)
			if tt.codes != "" {
				if got := c.Codes(); got != tt.codes {
					t.Errorf("the client read %q, want %q", got, tt.codes)
				}
			}
			if tt.busy {
				first.Expect("250")
			}
			first.Cmd("QUIT", "221")
			k.ended(t)
			testkit.Eventually(t, "the message has arrived, if it does", func() bool { return k.count("a@example.com") == tt.sent })
		})
	}
}

// TestClientGivesUpAtLogin ends the input of a client that waits for its login,
// and has been silent for a while: what it has sent on is not looked at.
func TestClientGivesUpAtLogin(t *testing.T) {
	for quit, want := range map[bool]string{false: "235", true: "235 250 250 354 250 221"} {
		k := newSlowStack(t)
		provider.Faults(t, k.sandbox, sandbox.Rule{Name: "slow token", Phase: sandbox.PhaseToken, Action: sandbox.ActionStall,
			For: sandbox.Duration(300 * time.Millisecond)})
		c := k.greeted(t)
		in := "AUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\ntext\r\n.\r\n"
		if quit {
			in += "QUIT\r\n"
		}
		c.Send(in)
		k.awaitState(t, stateAwaitToken)
		k.inspect(t, func(s *session) { s.lastInput -= 2 * k.patience })
		c.CloseWrite()
		if got := c.Codes(); got != want {
			t.Errorf("QUIT %v: the client read %q, want %q", quit, got, want)
		}
		k.ended(t)
	}
}

// TestUnreadOutcomeIsLogged: what becomes of a message is in the log when its
// client may not learn it.
func TestUnreadOutcomeIsLogged(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		leave      func(*client)
		lost       float64
	}{
		{"reset", "client had gone before the final reply", (*client).Reset, 1},
		{"FIN", "client had closed its side before the final reply and may not read it", (*client).CloseWrite, 0},
		{"close", "client had closed its side before the final reply and may not read it", (*client).close, 0},
		{"QUIT and FIN", "", func(c *client) { c.Send("QUIT\r\n"); c.CloseWrite() }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newSlowStack(t)
			c := k.login(t, gmailUser)
			c.Mail("a@example.com", "b@example.com")
			c.Cmd("DATA", "354")
			c.Send("text\r\n.\r\n")
			provider.Fired(t, k.sandbox, "think", 1)
			tt.leave(c)
			k.ended(t)
			provider.Messages(t, k.sandbox, 1)
			testkit.Eventually(t, "the outcome is logged", func() bool { return tt.want == "" || k.logs.Len() > 0 })
			got := ""
			for _, e := range k.logs.All() {
				got = e.Message
				if f := e.ContextMap(); f["account"] != "gmail" || f["code"] != int64(250) {
					t.Errorf("the line has %v", f)
				}
			}
			if got != tt.want {
				t.Errorf("the log has %q, want %q", got, tt.want)
			}
			if n := k.back.Metric(t, "smtp_final_replies_lost_total"); n != tt.lost {
				t.Errorf("%v replies are counted as lost, want %v", n, tt.lost)
			}
		})
	}
}
