package password

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func testConfig() Config {
	return Config{Workers: 2, MaxMemory: maxMemory << 10, MaxWaiting: 1000, CacheSize: 100}
}

// await makes one check and waits for its result, wherever it comes from.
func await(check func(done func(Result)) Result) (result Result, atOnce bool) {
	later := make(chan Result, 2)
	if r := check(func(r Result) { later <- r }); r != Pending {
		return r, true
	}
	return <-later, false
}

func (c *Checker) waitingNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name, stored, password string
		slow                   bool
	}{
		{"argon2id", argon2Stored, argon2Password, true},
		{"bcrypt", bcryptStored, bcryptPassword, true},
		{"recoverable", "s3cret", "s3cret", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := New(testConfig(), nil)
			defer c.Close()
			secret := parse(t, tt.stored)
			steps := []struct {
				what, id, password string
				want               Result
				atOnce             bool
			}{
				{"wrong", "a", tt.password + "x", Refused, !tt.slow},
				{"wrong again: not cached", "a", tt.password + "x", Refused, !tt.slow},
				{"empty", "a", "", Refused, !tt.slow},
				{"right", "a", tt.password, Allowed, !tt.slow},
				{"right again: cached", "a", tt.password, Allowed, true},
				{"right for another account", "b", tt.password, Allowed, !tt.slow},
				{"wrong for a cached one", "a", tt.password + "x", Refused, !tt.slow},
			}
			var hashes uint64
			for _, s := range steps {
				got, atOnce := await(func(done func(Result)) Result { return c.Check(key{}, s.id, secret, []byte(s.password), done) })
				if got != s.want || atOnce != s.atOnce {
					t.Errorf("%s: %v, at once %v, want %v, %v", s.what, got, atOnce, s.want, s.atOnce)
				}
				if !s.atOnce {
					hashes++
				}
				if c.hashes.Load() != hashes {
					t.Errorf("%s: %d hashes, want %d", s.what, c.hashes.Load(), hashes)
				}
			}
			if n := c.waitingNow(); n != 0 {
				t.Errorf("%d wait", n)
			}
			if n, want := len(c.cache.entries), map[bool]int{true: 2}[tt.slow]; n != want {
				t.Errorf("%d cached, want %d", n, want)
			}
		})
	}
}

// TestChangedSecret: after a reload the old password is asked for anew.
func TestChangedSecret(t *testing.T) {
	c := New(testConfig(), nil)
	defer c.Close()
	for _, tt := range []struct {
		stored string
		want   Result
	}{{argon2Stored, Allowed}, {bcryptStored, Refused}, {argon2Lanes, Allowed}} {
		got, atOnce := await(func(done func(Result)) Result {
			return c.Check(key{}, "a", parse(t, tt.stored), []byte(argon2Password), done)
		})
		if got != tt.want || atOnce {
			t.Errorf("%s: %v, at once %v", tt.stored, got, atOnce)
		}
	}
}

// TestUnknownDoesTheSameWork counts what a wrong password and an unknown
// account cost, for every kind of secret that most accounts may have.
func TestUnknownDoesTheSameWork(t *testing.T) {
	cheap := argon2Stored
	for _, tt := range []struct {
		name    string
		secrets []string
	}{
		{"argon2id", []string{cheap, bcryptStored, cheap, "x"}},
		{"bcrypt", []string{bcryptStored, cheap, bcryptStored}},
		{"recoverable", []string{"x", "y", "z", cheap}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := New(testConfig(), nil)
			defer c.Close()
			var secrets []Secret
			for _, s := range append(tt.secrets, "") {
				secret, _ := Parse(s) // the last one: an account without a secret
				secrets = append(secrets, secret)
			}
			c.Imitate(slices.Values(secrets))
			decoy := c.decoy.Load()
			if c.Imitate(slices.Values(secrets)); c.decoy.Load() != decoy {
				t.Error("a reload without a change makes a new decoy")
			}
			if decoy.v.cost() != secrets[0].v.cost() || decoy.v.memory() != secrets[0].v.memory() {
				t.Errorf("the decoy costs %q, want %q", decoy.v.cost(), secrets[0].v.cost())
			}
			work := func(check func(done func(Result)) Result) (hashes uint64, atOnce bool) {
				before := c.hashes.Load()
				r, atOnce := await(check)
				if r != Refused {
					t.Errorf("%v, want refused", r)
				}
				return c.hashes.Load() - before, atOnce
			}
			for range 2 {
				wrong, wrongAtOnce := work(func(done func(Result)) Result { return c.Check(key{}, "a", secrets[0], []byte("wrong"), done) })
				none, noneAtOnce := work(func(done func(Result)) Result { return c.Check(key{}, "nobody", Secret{}, []byte("wrong"), done) })
				zero, zeroAtOnce := work(func(done func(Result)) Result { return c.Check(key{}, "b", Secret{}, []byte("wrong"), done) })
				if wrong != none || wrong != zero || wrongAtOnce != noneAtOnce || wrongAtOnce != zeroAtOnce {
					t.Errorf("wrong password: %d hashes, at once %v; unknown account: %d, %v; no secret: %d, %v",
						wrong, wrongAtOnce, none, noneAtOnce, zero, zeroAtOnce)
				}
			}
		})
	}
}

func TestImitateNothing(t *testing.T) {
	c := New(testConfig(), nil)
	defer c.Close()
	if got, want := c.decoy.Load().v.cost(), "$argon2id$m=19456,t=2,p=1"; got != want {
		t.Errorf("the decoy costs %q, want the cost of a new hash, %q", got, want)
	}
}

// gate is a scheme whose verification waits for the test.
type gate struct {
	open    chan struct{}
	running *atomic.Int64
	size    int64
}

func (g gate) verify(password []byte) bool {
	g.running.Add(1)
	<-g.open
	g.running.Add(-1)
	return string(password) == "right"
}
func (g gate) memory() int64 { return g.size }
func (g gate) cost() string  { return "gate" }
func (g gate) decoy() Secret { return newSecret("decoy", g) }

func newGate(size int64) gate { return gate{make(chan struct{}), new(atomic.Int64), size} }

func TestSharedComputation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(testConfig(), nil)
		g := newGate(0)
		secret := newSecret("gate", g)
		var results [3][]Result
		var mu sync.Mutex
		for i := range 30 {
			id, password := "a", "right"
			if i%3 == 1 {
				password = "wrong"
			} else if i%3 == 2 {
				id = "b"
			}
			if r := c.Check(key{}, id, secret, []byte(password), func(r Result) {
				mu.Lock()
				results[i%3] = append(results[i%3], r)
				mu.Unlock()
			}); r != Pending {
				t.Fatalf("check %d: %v", i, r)
			}
		}
		if c.waitingNow() != 30 {
			t.Errorf("%d wait, want 30", c.waitingNow())
		}
		close(g.open)
		synctest.Wait()
		for i, want := range []Result{Allowed, Refused, Allowed} {
			if !slices.Equal(results[i], slices.Repeat([]Result{want}, 10)) {
				t.Errorf("login %d: %v, want ten times %v", i, results[i], want)
			}
		}
		if c.hashes.Load() != 3 || c.waitingNow() != 0 {
			t.Errorf("%d hashes, %d waiting, want 3, 0", c.hashes.Load(), c.waitingNow())
		}
		c.Close()
	})
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Workers, cfg.MaxWaiting = 1, 3
		c := New(cfg, nil)
		g := newGate(0)
		secret := newSecret("gate", g)
		var allowed atomic.Int64
		check := func(id string) Result {
			return c.Check(key{}, id, secret, []byte("right"), func(r Result) {
				if r == Allowed {
					allowed.Add(1)
				}
			})
		}
		for i, want := range []Result{Pending, Pending, Pending, Busy, Busy} {
			if r := check(fmt.Sprint(i)); r != want {
				t.Errorf("login %d: %v, want %v", i, r, want)
			}
			synctest.Wait()
		}
		if r := check("0"); r != Busy {
			t.Errorf("one more that would share a computation: %v, want busy", r)
		}
		if r := c.Check(key{}, "a", parse(t, "s3cret"), []byte("s3cret"), nil); r != Allowed {
			t.Errorf("what needs no worker: %v, want allowed", r)
		}
		close(g.open)
		synctest.Wait()
		if allowed.Load() != 3 {
			t.Errorf("%d allowed, want 3", allowed.Load())
		}
		if r := check("0"); r != Allowed {
			t.Errorf("afterwards, cached: %v", r)
		}
		if r := check("3"); r != Pending {
			t.Errorf("afterwards, room again: %v", r)
		}
		c.Close()
	})
}

func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Workers, cfg.MaxMemory = 8, 25
		c := New(cfg, nil)
		g := newGate(10)
		var done atomic.Int64
		for i := range 20 {
			c.Check(key{}, fmt.Sprint(i), newSecret("gate", g), []byte("right"), func(Result) { done.Add(1) })
		}
		for i := range 20 {
			synctest.Wait()
			if want := int64(min(2, 20-i)); g.running.Load() != want {
				t.Fatalf("%d computations of 10 octets run at once in 25, want %d", g.running.Load(), want)
			}
			g.open <- struct{}{}
		}
		synctest.Wait()
		if done.Load() != 20 {
			t.Errorf("%d answers, want 20", done.Load())
		}
		c.Close()
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.Workers = 3
		cfg.MaxMemory = 20
		c := New(cfg, nil)
		g := newGate(10)
		secret := newSecret("gate", g)
		var mu sync.Mutex
		got := map[Result]int{}
		var allowed string  // a login that was: any two of the first three run
		for i := range 10 { // two run, one waits for memory, the rest for a worker
			c.Check(key{}, fmt.Sprint(i), secret, []byte("right"), func(r Result) {
				mu.Lock()
				if got[r]++; r == Allowed {
					allowed = fmt.Sprint(i)
				}
				mu.Unlock()
			})
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() {
			c.Close()
			c.Close()
			close(closed)
		}()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the computations under way")
		default:
		}
		if got[Busy] != 8 || got[Allowed] != 0 {
			t.Errorf("while two run: %v, want 8 busy", got)
		}
		if r := c.Check(key{}, "x", secret, []byte("right"), nil); r != Busy {
			t.Errorf("after Close: %v, want busy", r)
		}
		close(g.open)
		<-closed
		if got[Busy] != 8 || got[Allowed] != 2 || c.waitingNow() != 0 {
			t.Errorf("%v, %d wait", got, c.waitingNow())
		}
		if r := c.Check(key{}, allowed, secret, []byte("right"), nil); r != Allowed {
			t.Errorf("a cached login after Close: %v, want allowed", r)
		}
	})
}

// TestPasswordIsCopied: the caller's buffer is free again after Check.
func TestPasswordIsCopied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(testConfig(), nil)
		g := newGate(0)
		var got Result
		password := []byte("right")
		c.Check(key{}, "a", newSecret("gate", g), password, func(r Result) { got = r })
		copy(password, "xxxxx")
		close(g.open)
		synctest.Wait()
		if got != Allowed {
			t.Errorf("%v, want allowed", got)
		}
		c.Close()
	})
}

// TestManyLoops has everything happen at once, for the race detector.
func TestManyLoops(t *testing.T) {
	c := New(testConfig(), nil)
	secret := parse(t, argon2Stored)
	var wait, answers sync.WaitGroup
	for loop := range 8 {
		wait.Go(func() {
			for i := range 100 {
				password, want := argon2Password, Allowed
				if i%10 == 0 {
					password, want = "wrong", Refused
				}
				answers.Add(1)
				done := func(r Result) {
					defer answers.Done()
					if r != want {
						t.Errorf("%v, want %v", r, want)
					}
				}
				if r := c.Check(key{}, fmt.Sprint(i%20, loop%2), secret, []byte(password), done); r != Pending {
					done(r)
				}
				c.Imitate(slices.Values([]Secret{secret}))
			}
		})
	}
	wait.Wait()
	answers.Wait()
	c.Close()
}

func TestResultString(t *testing.T) {
	got := fmt.Sprint(Pending, Allowed, Refused, Busy, Result(9))
	if want := "pending allowed refused busy Result(9)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := Config{MaxMemory: 1}.Validate()
	for _, key := range []string{"workers", "max_memory", "max_waiting", "cache_size"} {
		if err == nil || !strings.Contains(err.Error(), "password: "+key+": ") {
			t.Errorf("no problem with %s in: %v", key, err)
		}
	}
}

// faulty is a scheme whose verification panics.
type faulty struct{ gate }

func (faulty) verify([]byte) bool { panic("a fault of its own") }

// TestPanic: a check that panics is Busy for all who wait for it, and told; the
// worker and its memory are there for the next one.
func TestPanic(t *testing.T) {
	told := make(chan any, 10)
	cfg := testConfig()
	cfg.Workers = 1
	c := New(cfg, func(p any, stack []byte) {
		if !strings.Contains(string(stack), "faulty") {
			t.Errorf("the stack is %s", stack)
		}
		told <- p
	})
	defer c.Close()
	bad, good := newSecret("faulty", faulty{gate{size: cfg.MaxMemory}}), parse(t, argon2Stored)
	for range 3 {
		got, atOnce := await(func(done func(Result)) Result { return c.Check(key{}, "a", bad, []byte("x"), done) })
		if got != Busy || atOnce {
			t.Errorf("the check that panics: %v, at once %v", got, atOnce)
		}
		if p := <-told; p != "a fault of its own" {
			t.Errorf("told is %v", p)
		}
	}
	got, _ := await(func(done func(Result)) Result { return c.Check(key{}, "a", good, []byte(argon2Password), done) })
	if got != Allowed || c.waitingNow() != 0 {
		t.Errorf("the next check: %v, %d wait", got, c.waitingNow())
	}
}
