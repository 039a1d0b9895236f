package server

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/upstream"
)

const rightPassword, wrongPassword = "correct horse", "battery staple"

// quickHash is rightPassword by bcrypt at its lowest cost: the tests count
// hashes, they do not measure them.
const quickHash = "$2a$04$B/daJT3sQObtvH0U5JUccOw9pDRMSoOZ3R4jxKd.iNiVeVPFor9WW"

// withPasswords has a listener for each policy. The shared password and the one of
// the account gmail are stored as hash or recoverably.
func withPasswords(shared string, policies ...password.Policy) stackOption {
	return config(func(cfg *Config) {
		cfg.SharedPassword = account.NewSecret(shared)
		cfg.Failures.Free, cfg.Failures.Limit = 1000, 1000
		cfg.Listeners = nil
		for _, p := range policies {
			cfg.Listeners = append(cfg.Listeners, Listener{Address: "127.0.0.1:0", Passwords: p})
		}
	})
}

// setPasswords gives the accounts their passwords, and waits until the server
// knows.
func (k *stack) setPasswords(t *testing.T, stored map[string]string) {
	t.Helper()
	var all []*account.Account
	for _, a := range k.back.Snapshot(t, testUsers...).All() {
		changed := *a
		changed.ClientPassword = account.NewSecret(stored[a.Email])
		all = append(all, &changed)
	}
	snap, err := account.NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	before := k.listeners[0].ehlo.Load()
	k.store.Swap(snap)
	k.greeted(t)
	testkit.Eventually(t, "the server knows the accounts", func() bool { return k.listeners[0].ehlo.Load() != before })
}

// exchange logs in by a mechanism, with or without initial response, and gives
// the final reply.
func (c *client) exchange(mechanism string, initial bool, user, pass string) string {
	c.T.Helper()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	switch {
	case mechanism == "PLAIN" && initial:
		return c.Cmd("AUTH PLAIN "+testkit.Plain(user, pass), "")
	case mechanism == "PLAIN":
		c.Cmd("AUTH PLAIN", "334 ")
		return c.Cmd(testkit.Plain(user, pass), "")
	case mechanism == "LOGIN" && initial:
		c.Cmd("AUTH LOGIN "+b64(user), "334 UGFzc3dvcmQ6")
		return c.Cmd(b64(pass), "")
	case mechanism == "LOGIN":
		c.Cmd("AUTH LOGIN", "334 VXNlcm5hbWU6")
		c.Cmd(b64(user), "334 UGFzc3dvcmQ6")
		return c.Cmd(b64(pass), "")
	}
	challenge, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(c.Cmd("AUTH CRAM-MD5", "334 "), "334 "))
	if err != nil {
		c.T.Fatal(err)
	}
	mac := hmac.New(md5.New, []byte(pass))
	mac.Write(challenge)
	return c.Cmd(b64(user+" "+hex.EncodeToString(mac.Sum(nil))), "")
}

// TestPasswordPolicies logs in by every mechanism under every policy: with the
// right password, a wrong one and an unknown account. The latter two cannot be
// told apart.
func TestPasswordPolicies(t *testing.T) {
	policies := []password.Policy{password.PolicyAny, password.PolicyShared, password.PolicyAccount}
	for _, stored := range []string{rightPassword, quickHash} {
		k := newStack(t, withPasswords(stored, policies...))
		k.setPasswords(t, map[string]string{gmailUser: stored, outlookUser: stored}) // carl has none
		for i, policy := range policies {
			for _, mechanism := range []string{"PLAIN", "PLAIN initial", "LOGIN", "LOGIN initial", "CRAM-MD5"} {
				t.Run(fmt.Sprintf("stored=%.4s/policy=%s/%s", stored, policy, mechanism), func(t *testing.T) {
					name, _, _ := strings.Cut(mechanism, " ")
					try := func(user, pass string) string {
						c := k.dialAt(t, i)
						c.Expect("220")
						reply := c.Cmd("EHLO client.example.com", "250")
						cram := policy == password.PolicyAny || stored == rightPassword
						if strings.Contains(reply, "CRAM-MD5") != cram {
							t.Errorf("the EHLO reply is %q", reply)
						}
						if name == "CRAM-MD5" && !cram {
							c.Cmd("AUTH CRAM-MD5", "504 5.5.4")
							return ""
						}
						return c.exchange(name, strings.HasSuffix(mechanism, "initial"), user, pass)
					}
					right, wrong := try(gmailUser, rightPassword), try(gmailUser, wrongPassword)
					if right == "" {
						return
					}
					if !strings.HasPrefix(right, "235") {
						t.Errorf("the right password: %q", right)
					}
					const refused = "535 5.7.8 "
					if policy == password.PolicyAny {
						if !strings.HasPrefix(wrong, "235") {
							t.Errorf("any password: %q", wrong)
						}
						wrong = try("nobody@gmail.test", wrongPassword)
					}
					if !strings.HasPrefix(wrong, refused) {
						t.Errorf("a wrong password: %q", wrong)
					}
					for _, user := range []string{"nobody@gmail.test", "x", "*@gmail.test"} {
						if got := try(user, rightPassword); got != wrong {
							t.Errorf("user %q: %q, a wrong password: %q", user, got, wrong)
						}
					}
					if policy == password.PolicyAccount {
						if got := try(plainUser, rightPassword); got != wrong {
							t.Errorf("an account without password: %q", got)
						}
					}
				})
			}
		}
	}
}

// TestEmptyPassword: it is a password like others for each mechanism, right under "any" and
// wrong elsewhere, even where one is stored; each refusal is logged and counted.
func TestEmptyPassword(t *testing.T) {
	policies := []password.Policy{password.PolicyAny, password.PolicyShared, password.PolicyAccount}
	const ofEmpty = "$2a$04$eO7yOGL6BFyzZ0PW7f9qMeC7HmwW81ZUGiuBDOR03XTbCKddbzLO2"
	for _, stored := range []string{rightPassword, quickHash, ofEmpty} {
		k := newStack(t, withPasswords(stored, policies...))
		k.setPasswords(t, map[string]string{gmailUser: stored, outlookUser: stored})
		for i, policy := range policies {
			for _, mechanism := range []string{"PLAIN", "PLAIN initial", "LOGIN", "LOGIN initial", "CRAM-MD5"} {
				name, _, _ := strings.Cut(mechanism, " ")
				if name == "CRAM-MD5" && policy != password.PolicyAny && stored != rightPassword {
					continue
				}
				for _, user := range []string{gmailUser, "nobody@gmail.test"} {
					want := "535 5.7.8"
					if policy == password.PolicyAny && user == gmailUser {
						want = "235 2.7.0"
					}
					refused := k.back.Metric(t, `auth_attempts_total{result="refused"}`)
					lines := k.logs.FilterMessageSnippet("login refused: wrong").Len()
					c := k.dialAt(t, i)
					c.Expect("220")
					c.Cmd("EHLO client.example.com", "250")
					if got := c.exchange(name, strings.HasSuffix(mechanism, "initial"), user, ""); !strings.HasPrefix(got, want) {
						t.Errorf("stored %.4s, policy %s, %s, %s: %q, want %s", stored, policy, mechanism, user, got, want)
					}
					if want[0] == '5' {
						if k.back.Metric(t, `auth_attempts_total{result="refused"}`) != refused+1 {
							t.Errorf("stored %.4s, policy %s, %s, %s: the refusal is not counted once", stored, policy, mechanism, user)
						}
						testkit.Eventually(t, "the refusal is logged", func() bool {
							return k.logs.FilterMessageSnippet("login refused: wrong").Len() == lines+1
						})
					}
					c.close()
				}
			}
		}
	}
}

// TestRefusalsCostAlike counts the slow hashes: an unknown account costs one like
// a wrong password does, a login that was right before costs none.
func TestRefusalsCostAlike(t *testing.T) {
	k := newStack(t, withPasswords(quickHash, password.PolicyAccount, password.PolicyShared))
	k.setPasswords(t, map[string]string{gmailUser: quickHash})
	tests := []struct {
		listener   int
		user, pass string
		hashes     uint64
	}{
		{0, gmailUser, wrongPassword, 1},
		{0, "nobody@gmail.test", wrongPassword, 1},
		{0, "nobody@gmail.test", rightPassword, 1},
		{0, plainUser, wrongPassword, 1}, // has no password
		{0, gmailUser, rightPassword, 1},
		{0, gmailUser, rightPassword, 0},
		{1, gmailUser, wrongPassword, 1},
		{1, "nobody@gmail.test", "guess", 1},
		{1, gmailUser, rightPassword, 1},
		{1, outlookUser, rightPassword, 0}, // it is one password
		{1, "nobody@gmail.test", rightPassword, 0},
	}
	for i, tt := range tests {
		before, _ := k.passwords.Work()
		c := k.dialAt(t, tt.listener)
		c.Expect("220")
		c.Cmd("EHLO client.example.com", "250")
		want := "535"
		if tt.pass == rightPassword && tt.user != "nobody@gmail.test" {
			want = "235"
		}
		c.Cmd("AUTH PLAIN "+testkit.Plain(tt.user, tt.pass), want)
		if now, _ := k.passwords.Work(); now-before != tt.hashes {
			t.Errorf("login %d cost %d hashes, want %d", i, now-before, tt.hashes)
		}
	}
	// CRAM-MD5 computes a response in either case.
	k.setPasswords(t, map[string]string{gmailUser: rightPassword})
	for _, user := range []string{gmailUser, "nobody@gmail.test"} {
		_, before := k.passwords.Work()
		c := k.greeted(t)
		c.exchange("CRAM-MD5", false, user, wrongPassword)
		if _, now := k.passwords.Work(); now-before != 1 {
			t.Errorf("user %s cost %d responses", user, now-before)
		}
	}
}

// TestPasswordCheckerBusy has more logins wait for a slow hash than may: they are
// told to come back, and do.
func TestPasswordCheckerBusy(t *testing.T) {
	slow, err := password.Hash(rightPassword)
	if err != nil {
		t.Fatal(err)
	}
	k := newStack(t, withPasswords(slow, password.PolicyShared), config(func(cfg *Config) { cfg.Checks.Workers, cfg.Checks.MaxWaiting = 1, 1 }))
	var clients []*client
	for i := range 8 {
		c := k.greeted(t)
		c.Send("AUTH PLAIN " + testkit.Plain(gmailUser, fmt.Sprint("guess", i)) + "\r\nNOOP\r\n")
		clients = append(clients, c)
	}
	busy := 0
	for _, c := range clients {
		switch got := c.Expect(""); {
		case strings.HasPrefix(got, "454 4.7.0"):
			busy++
		case !strings.HasPrefix(got, "535"):
			t.Errorf("the answer is %q", got)
		}
		c.Expect("250") // NOOP waited its turn
	}
	if n := k.back.Metric(t, `auth_attempts_total{result="busy"}`); busy == 0 || n != float64(busy) {
		t.Errorf("%d were told to come back, the counter says %v", busy, n)
	}
	c := k.greeted(t)
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, rightPassword), "235")
}

// TestGuessing delays the answers to a source that fails, then refuses it
// outright, and no other source; what it pipelines waits.
func TestGuessing(t *testing.T) {
	const heldBack = 400 * time.Millisecond
	k := newStack(t, withPasswords(rightPassword, password.PolicyShared), func(cfg *Config, _ *upstream.Config, _ *sandbox.Config) {
		cfg.Failures = password.DefaultFailureConfig()
		cfg.Failures.Free, cfg.Failures.Limit = 2, 4
		cfg.Failures.Delay, cfg.Failures.MaxDelay = heldBack, heldBack
		cfg.Listeners[0].ProxyFrom = loopback
	})
	connect := func(source string) *client {
		c := k.dial(t)
		c.Send("PROXY TCP4 " + source + " 198.51.100.1 4021 25\r\n")
		c.Expect("220")
		c.Cmd("EHLO client.example.com", "250")
		return c
	}
	guess := "AUTH PLAIN " + testkit.Plain(gmailUser, wrongPassword)
	c := connect("192.0.2.1")
	for i := range 4 {
		start := time.Now()
		c.Send(guess + "\r\nNOOP\r\n")
		if i >= 2 {
			testkit.Eventually(t, "the answer is held back", func() (held bool) {
				k.inspect(t, func(s *session) { held = held || s.state == stateDelayed })
				return held
			})
		}
		c.Expect("535 5.7.8")
		c.Expect("250")
		if d := time.Since(start); i >= 2 && d < heldBack {
			t.Errorf("guess %d was answered after %v", i, d)
		}
	}
	c.Cmd(guess, "454 4.7.0")
	c = connect("192.0.2.1")
	c.Cmd("AUTH PLAIN "+testkit.Plain(gmailUser, rightPassword), "454 4.7.0")
	c = connect("192.0.2.2")
	c.Cmd("AUTH PLAIN "+testkit.Plain(outlookUser, rightPassword), "235")
	if n := k.back.Metric(t, `auth_attempts_total{result="source_refused"}`); n != 2 {
		t.Errorf("the counter says %v", n)
	}
}

// TestParallelGuesses begins many exchanges before it sends the first password: no more are
// checked than if one came after the other, and none is told that its password is wrong
// without a check.
func TestParallelGuesses(t *testing.T) {
	const limit, guesses = 10, 60
	for _, stored := range []string{rightPassword, quickHash} {
		for _, mechanism := range []string{"LOGIN", "PLAIN"} {
			k := newStack(t, withPasswords(stored, password.PolicyAccount), config(func(cfg *Config) {
				cfg.Failures.Free, cfg.Failures.Limit = limit, limit
			}))
			k.setPasswords(t, map[string]string{gmailUser: stored, outlookUser: stored})
			var clients []*client
			for range guesses {
				c := k.greeted(t)
				c.Cmd("AUTH "+mechanism, "334")
				if mechanism == "LOGIN" {
					c.Cmd(base64.StdEncoding.EncodeToString([]byte(gmailUser)), "334")
				}
				clients = append(clients, c)
			}
			for i, c := range clients {
				guess := fmt.Sprint("guess", i)
				if mechanism == "LOGIN" {
					c.Send(base64.StdEncoding.EncodeToString([]byte(guess)) + "\r\n")
				} else {
					c.Send(testkit.Plain(gmailUser, guess) + "\r\n")
				}
			}
			refused := 0
			for _, c := range clients {
				switch got := c.Expect(""); {
				case strings.HasPrefix(got, "535"):
					refused++
				case !strings.HasPrefix(got, "454 4.7.0 Too many failed logins"):
					t.Errorf("the answer is %q", got)
				}
			}
			if refused != limit {
				t.Errorf("stored %.4s, %s: %d guesses were checked, want %d", stored, mechanism, refused, limit)
			}
			if n := k.back.Metric(t, `auth_attempts_total{result="source_refused"}`); n != guesses-limit {
				t.Errorf("the counter says %v", n)
			}
		}
	}
}

// TestAuthCancel cancels every mechanism at every step, and logs in afterwards;
// a second login in a session is refused (RFC 4954 section 4).
func TestAuthCancel(t *testing.T) {
	k := newStack(t)
	c := k.greeted(t)
	user := string(codec.AppendBase64(nil, []byte(gmailUser)))
	for _, lines := range [][]string{{"AUTH PLAIN"}, {"AUTH LOGIN"}, {"AUTH LOGIN", user}, {"AUTH LOGIN " + user}, {"AUTH CRAM-MD5"}} {
		for _, line := range lines {
			c.Cmd(line, "334 ")
		}
		c.Cmd("*", "501 5.7.0")
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		for _, line := range []string{"!", "YQ", strings.Repeat("A", 12_300)} {
			c.Cmd("AUTH "+mechanism, "334 ")
			c.Cmd(line, "50")
		}
	}
	c.Cmd("AUTH CRAM-MD5 "+user, "501 5.5.4") // the server speaks first
	c.Cmd("AUTH CRAM-MD5", "334 ")
	c.Cmd(user, "501") // no digest
	if got := c.exchange("CRAM-MD5", false, gmailUser, "any"); !strings.HasPrefix(got, "235") {
		t.Errorf("the login: %q", got)
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
		c.Cmd("AUTH "+mechanism, "503 5.5.1")
	}
}
