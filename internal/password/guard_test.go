package password

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// quick is "right" by bcrypt at its lowest cost.
const quick = "$2a$04$9axHvqukQ7SqepuzX64fCOMYgQAjaLg5VH9AYNhkVlzyQ6BS8w2/."

var guessers = netip.MustParseAddr("192.0.2.1")

// guarded is a Guard with its Checker and a stored secret.
type guarded struct {
	*Guard
	t      *testing.T
	secret Secret
	cram   bool
}

func newGuarded(t *testing.T, stored string, change func(*Config, *FailureConfig)) *guarded {
	t.Helper()
	secret, err := Parse(stored)
	if err != nil {
		t.Fatal(err)
	}
	cfg, failures := DefaultConfig(), DefaultFailureConfig()
	if change != nil {
		change(&cfg, &failures)
	}
	c := New(cfg, func(p any, stack []byte) { t.Errorf("panic: %v\n%s", p, stack) })
	t.Cleanup(c.Close)
	return &guarded{Guard: NewGuard(c, failures, time.Now()), t: t, secret: secret}
}

// login begins a login; its verdict is sent to the channel.
func (g *guarded) login(source netip.Addr, name, pass string) <-chan Verdict {
	out := make(chan Verdict, 1)
	l := Login{Source: source, Name: name, ID: name, Secret: g.secret, Password: []byte(pass)}
	if g.cram {
		mac := hmac.New(md5.New, []byte(pass))
		mac.Write([]byte("challenge"))
		l = Login{Source: source, Name: name, Secret: g.secret, Challenge: []byte("challenge"), Response: []byte(hex.EncodeToString(mac.Sum(nil)))}
	}
	if v := g.Check(l, func(v Verdict) { out <- v }); v.Result != Pending {
		out <- v
	}
	clear(l.Password) // borrowed for the call
	clear(l.Response)
	return out
}

// tally runs n logins at one time and counts their results.
func (g *guarded) tally(n int, login func(i int) <-chan Verdict) map[Result]int {
	var all sync.WaitGroup
	var counts [Limited + 1]atomic.Int64
	for i := range n {
		all.Go(func() {
			v := <-login(i)
			counts[v.Result].Add(1)
		})
	}
	all.Wait()
	out := map[Result]int{}
	for r := range counts {
		if k := counts[r].Load(); k > 0 {
			out[Result(r)] = int(k)
		}
	}
	return out
}

// schemes are the ways to check a password.
func schemes(t *testing.T, test func(t *testing.T, g *guarded)) {
	for _, s := range []struct {
		name, stored string
		cram         bool
	}{{"plain", "right", false}, {"slow hash", quick, false}, {"CRAM-MD5", "right", true}} {
		t.Run(s.name, func(t *testing.T) {
			g := newGuarded(t, s.stored, nil)
			g.cram = s.cram
			test(t, g)
		})
	}
}

const limit = 20 // by default

// TestParallelGuesses: of any number of guesses at one time no more are checked than one
// after the other.
func TestParallelGuesses(t *testing.T) {
	schemes(t, func(t *testing.T, g *guarded) {
		got := g.tally(1500, func(i int) <-chan Verdict { return g.login(guessers, "anna", fmt.Sprint("guess", i)) })
		if got[Refused] != limit || got[Refused]+got[Limited]+got[Busy] != 1500 {
			t.Errorf("%v, want %d refused", got, limit)
		}
	})
}

// TestSpraying guesses at another account each time.
func TestSpraying(t *testing.T) {
	schemes(t, func(t *testing.T, g *guarded) {
		got := g.tally(500, func(i int) <-chan Verdict { return g.login(guessers, fmt.Sprint("user", i), "guess") })
		if got[Refused] != limit {
			t.Errorf("%v, want %d refused", got, limit)
		}
	})
}

// TestAlternatingGuesses has a guesser log in to an account of its own after each guess, at one
// account or at another each time.
func TestAlternatingGuesses(t *testing.T) {
	for _, another := range []bool{false, true} {
		schemes(t, func(t *testing.T, g *guarded) {
			refused := 0
			for i := range 500 {
				name := "anna"
				if another {
					name = fmt.Sprint("user", i)
				}
				if v := <-g.login(guessers, name, fmt.Sprint("guess", i)); v.Result == Refused {
					refused++
				}
				if v := <-g.login(guessers, "own", "right"); v.Result != Allowed {
					t.Fatalf("login %d to the own account: %v", i, v.Result)
				}
			}
			if refused != limit {
				t.Errorf("%d guesses were checked, want %d", refused, limit)
			}
		})
	}
}

// TestGuessesFromManySources are counted by account. The client that logs in to it is not
// shut out, nor are other accounts.
func TestGuessesFromManySources(t *testing.T) {
	schemes(t, func(t *testing.T, g *guarded) {
		mta := netip.MustParseAddr("198.51.100.1")
		if v := <-g.login(mta, "anna", "right"); v.Result != Allowed {
			t.Fatal(v)
		}
		got := g.tally(300, func(i int) <-chan Verdict {
			return g.login(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), "anna", fmt.Sprint("guess", i))
		})
		if got[Refused] != limit {
			t.Errorf("%v, want %d refused", got, limit)
		}
		for _, l := range []struct {
			from netip.Addr
			name string
			want Result
		}{{mta, "anna", Allowed}, {guessers, "anna", Limited}, {guessers, "bert", Allowed}} {
			if v := <-g.login(l.from, l.name, "right"); v.Result != l.want {
				t.Errorf("%v to %s: %v, want %v", l.from, l.name, v.Result, l.want)
			}
		}
	})
}

// TestRightLoginsAtOnce all pass, however many there are: those above the limit wait.
func TestRightLoginsAtOnce(t *testing.T) {
	for _, n := range []int{limit, 300} {
		for _, name := range []string{"one account", "many accounts"} {
			schemes(t, func(t *testing.T, g *guarded) {
				got := g.tally(n, func(i int) <-chan Verdict {
					if name == "one account" {
						i = 0
					}
					return g.login(guessers, fmt.Sprint("user", i), "right")
				})
				if got[Allowed] != n {
					t.Errorf("%s, %d at once: %v", name, n, got)
				}
			})
		}
	}
}

// TestMTAWithOneWrongPassword: it keeps one account out, not those beside it.
func TestMTAWithOneWrongPassword(t *testing.T) {
	g := newGuarded(t, "right", nil)
	for i := range 1000 {
		if v := <-g.login(guessers, "wrong", "left"); v.Result != Refused && v.Result != Limited {
			t.Fatalf("the wrong password: %v", v.Result)
		}
		for _, name := range []string{fmt.Sprint("user", i), "same"} {
			if v := <-g.login(guessers, name, "right"); v.Result != Allowed {
				t.Fatalf("login %d to %s: %v", i, name, v.Result)
			}
		}
	}
}

// TestRightLoginForgivesItsOwn failures, also those counted to source and account.
func TestRightLoginForgivesItsOwn(t *testing.T) {
	g := newGuarded(t, "right", nil)
	for round := range 10 {
		for i := range limit - 1 {
			if v := <-g.login(guessers, "anna", fmt.Sprint("guess", i)); v.Result != Refused {
				t.Fatalf("round %d, guess %d: %v", round, i, v.Result)
			}
		}
		if v := <-g.login(guessers, "anna", "right"); v.Result != Allowed {
			t.Fatalf("round %d: %v", round, v.Result)
		}
	}
}

// TestLimitEnds: after its time a source is checked again, and the delays are as configured.
func TestLimitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(t, "right", nil)
		var delays []time.Duration
		for i := range limit {
			delays = append(delays, (<-g.login(guessers, "anna", fmt.Sprint("guess", i))).Delay)
		}
		if delays[2] != 0 || delays[3] != time.Second || delays[limit-1] != 8*time.Second {
			t.Errorf("the delays are %v", delays)
		}
		for _, name := range []string{"anna", "bert"} {
			if v := <-g.login(guessers, name, "right"); v.Result != Limited {
				t.Errorf("%s above the limit: %v", name, v.Result)
			}
		}
		time.Sleep(10 * time.Minute)
		if v := <-g.login(guessers, "anna", "right"); v.Result != Allowed {
			t.Errorf("10 minutes later: %v", v.Result)
		}
		g.checker.Close()
	})
}

// TestUnixSocketIsNotCounted, and a login that is wrong whatever the password is.
func TestUnixSocketIsNotCounted(t *testing.T) {
	g := newGuarded(t, "right", nil)
	for i := range 100 {
		if v := <-g.login(netip.Addr{}, "anna", fmt.Sprint("guess", i)); v.Result != Refused || v.Delay != 0 {
			t.Fatalf("guess %d: %v", i, v)
		}
	}
	for _, l := range []Login{{Name: "x", Wrong: true}, {Name: "y", Unknown: true}} {
		l.Source, l.Secret, l.Password = netip.MustParseAddr("192.0.2.2"), g.secret, []byte("right")
		if l.Unknown {
			l.Source = guessers
		}
		for i := range limit {
			if v := g.Check(l, nil); v.Result != Refused {
				t.Errorf("%+v, login %d: %v", l, i, v.Result)
				break
			}
			l.Password = fmt.Appendf(nil, "guess%d", i)
		}
	}
	if v := <-g.login(guessers, "anna", "right"); v.Result != Limited {
		t.Errorf("such logins were not counted: %v", v.Result)
	}
}

// gated is a scheme whose checks wait, for a test that looks at their order.
type gated struct {
	began chan string
	end   chan struct{}
}

func (s *gated) verify(pass []byte) bool { s.began <- string(pass); <-s.end; return false }
func (s *gated) memory() int64           { return 0 }
func (s *gated) cost() string            { return "gated" }
func (s *gated) decoy() Secret           { return newSecret("gated", s) }

// TestSourcesTakeTurns: many slow hashes of one source hold another one up by one at most.
func TestSourcesTakeTurns(t *testing.T) {
	s := &gated{began: make(chan string), end: make(chan struct{})}
	cfg := DefaultConfig()
	cfg.Workers = 1
	c := New(cfg, func(p any, _ []byte) { t.Error(p) })
	var done sync.WaitGroup
	check := func(source uint64, pass string) {
		done.Add(1)
		if r := c.Check(key{source, 4}, "anna", newSecret("gated", s), []byte(pass), func(Result) { done.Done() }); r != Pending {
			t.Fatal(r)
		}
	}
	for i := range 200 {
		check(1, fmt.Sprint("a", i))
	}
	order := []string{<-s.began}
	check(2, "b0")
	check(2, "b1")
	check(3, "c0")
	for range 6 {
		s.end <- struct{}{}
		order = append(order, <-s.began)
	}
	if got, want := fmt.Sprint(order), "[a0 a1 b0 c0 a2 b1 a3]"; got != want {
		t.Errorf("the order is %s, want %s", got, want)
	}
	go func() {
		for range s.began {
		}
	}()
	close(s.end)
	done.Wait()
	c.Close()
	close(s.began)
}

// TestWaitingIsFair: when too many logins wait, the source with most of them gives way.
func TestWaitingIsFair(t *testing.T) {
	s := &gated{began: make(chan string, 1000), end: make(chan struct{})}
	g := newGuarded(t, "right", func(cfg *Config, f *FailureConfig) { cfg.Workers, cfg.MaxWaiting, f.Limit, f.Free = 1, 40, 10, 1 })
	g.secret = newSecret("gated", s)
	var results []<-chan Verdict
	for i := range 100 {
		results = append(results, g.login(guessers, fmt.Sprint("user", i), fmt.Sprint("guess", i)))
	}
	other := netip.MustParseAddr("192.0.2.2")
	for i := range 15 {
		results = append(results, g.login(other, fmt.Sprint("other", i), fmt.Sprint("guess", i)))
	}
	close(s.end)
	count := map[Result]int{}
	for i, r := range results {
		v := <-r
		if i < 100 {
			count[v.Result]++
		} else if v.Result == Busy {
			t.Errorf("login %d of the other source gave way", i-100)
		}
	}
	if count[Refused] != 10 || count[Busy] != 55 || count[Limited] != 35 {
		t.Errorf("of the source with most logins: %v", count)
	}
}
