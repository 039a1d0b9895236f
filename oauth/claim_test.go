package oauth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// provider rotates refresh tokens at each use. A used one is refused, unless it is lenient:
// then each use begins another row of tokens.
type provider struct {
	mu      sync.Mutex
	takes   time.Duration
	lenient bool
	used    map[string]bool
	dead    map[string]bool // rows that are revoked
	asked   []string        // "a: row/3", by whom and with what
	rows, n int
}

func (p *provider) fetch(by string, g flow.Grant) (flow.Issued, *Error) {
	time.Sleep(p.takes)
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := g.Refresh.Reveal()
	p.asked = append(p.asked, by+": "+sent)
	row, _, _ := strings.Cut(sent, "/")
	if g.Account.TokenFlow() != account.FlowRefreshToken {
		return flow.Issued{Access: "access-app", Expiry: time.Now().Add(time.Hour)}, nil
	}
	if p.used[sent] && !p.lenient || p.dead[row] {
		return flow.Issued{}, &Error{Class: ClassInvalidGrant}
	}
	if p.used[sent] {
		p.rows++
		row = fmt.Sprintf("row%d", p.rows)
	}
	p.used[sent] = true
	p.n++
	return flow.Issued{Access: fmt.Sprintf("access-%d", p.n), Refresh: account.NewSecret(fmt.Sprintf("%s/%d", row, p.n)),
		Expiry: time.Now().Add(time.Hour)}, nil
}

func (p *provider) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// errAway is the error of a store that does not answer.
var errAway = errors.New("no answer")

// commons is the store of the share, as the Sharer of each process shows it.
type commons struct {
	mu      sync.Mutex
	fence   uint64
	claims  map[Chain]Claim
	records map[Chain]Record
	changed chan struct{}
	adopt   []func(Chain, Record) // nil to miss what is published
}

// side is a process's side of the commons.
type side struct {
	*commons
	ttl time.Duration

	mu     sync.Mutex
	away   bool          // no call is answered
	mute   bool          // Publish is not answered, nor executed
	frozen time.Duration // the process stands still after the next claim
	asked  int           // how often a claim was asked for
}

func (s *side) set(change func(*side)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *side) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.away
}

func (s *side) Claim(ctx context.Context, c Chain, have Record) (Claim, error) {
	for {
		sent := time.Now()
		s.set(func(s *side) { s.asked++ })
		if s.isAway() {
			return Claim{}, errAway
		}
		s.commons.mu.Lock()
		if r, ok := s.records[c]; ok && r.Newer(&have) {
			s.commons.mu.Unlock()
			return Claim{Newer: &r}, nil
		}
		now := s.claims[c]
		if now.Fence == 0 || !sent.Before(now.Until) {
			s.fence++
			got := Claim{Fence: s.fence, Until: sent.Add(s.ttl)}
			s.claims[c] = got
			s.commons.mu.Unlock()
			s.mu.Lock()
			frozen := s.frozen
			s.frozen = 0
			s.mu.Unlock()
			time.Sleep(frozen)
			return got, nil
		}
		changed := s.changed
		s.commons.mu.Unlock()
		select {
		case <-changed:
		case <-time.After(now.Until.Sub(sent)):
		case <-ctx.Done():
			return Claim{}, ctx.Err()
		}
	}
}

// end ends a claim. Called with the lock of the commons.
func (s *side) end(c Chain) {
	delete(s.claims, c)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *side) Publish(_ context.Context, c Chain, fence uint64, r Record) (bool, error) {
	s.mu.Lock()
	lost := s.away || s.mute
	s.mu.Unlock()
	if lost {
		return false, errAway
	}
	s.commons.mu.Lock()
	defer s.commons.mu.Unlock()
	if now := s.claims[c]; now.Fence != fence || !time.Now().Before(now.Until) {
		return false, nil
	}
	r.Spare = account.Secret{}
	s.records[c] = r
	s.end(c)
	for _, adopt := range s.adopt {
		if adopt != nil {
			go adopt(c, r)
		}
	}
	return true, nil
}

func (s *side) Abandon(c Chain, fence uint64) {
	s.commons.mu.Lock()
	defer s.commons.mu.Unlock()
	if !s.isAway() && s.claims[c].Fence == fence {
		s.end(c)
	}
}

func (s *side) Published(_ context.Context, c Chain) (*Record, error) {
	if s.isAway() {
		return nil, errAway
	}
	s.commons.mu.Lock()
	defer s.commons.mu.Unlock()
	if r, ok := s.records[c]; ok {
		return &r, nil
	}
	return nil, nil
}

// process is one of the processes that share.
type process struct {
	*Manager
	name  string
	store *memoryStore
	side  *side
	at    *provider
	// stall stands still before the endpoint is asked, whatever the context says.
	stall chan time.Duration
}

func (p *process) Fetch(ctx context.Context, g flow.Grant) (flow.Issued, *Error) {
	select {
	case d := <-p.stall:
		time.Sleep(d)
	default:
		if ctx.Err() != nil {
			return flow.Issued{}, flow.Local(ctx.Err())
		}
	}
	return p.at.fetch(p.name, g)
}

// together runs f with processes that share an account, in virtual time. start makes one
// more, with a store of an earlier one or nil.
func together(t *testing.T, n int, f func(t *testing.T, at *provider, all []*process, start func(*memoryStore) *process)) {
	synctest.Test(t, func(t *testing.T) {
		at := &provider{takes: time.Second, used: map[string]bool{}, dead: map[string]bool{}}
		c := &commons{claims: map[Chain]Claim{}, records: map[Chain]Record{}, changed: make(chan struct{})}
		made := 0
		start := func(store *memoryStore) *process {
			if store == nil {
				store = new(memoryStore)
			}
			p := &process{name: string(rune('a' + made)), store: store, at: at, stall: make(chan time.Duration, 1)}
			made++
			cfg := DefaultConfig()
			p.side = &side{commons: c, ttl: cfg.ClaimTTL()}
			cfg.Store, cfg.Share = store, p.side
			p.Manager = newManager(cfg, p, nil, metrics.NewSet())
			c.mu.Lock()
			c.adopt = append(c.adopt, p.Adopt)
			c.mu.Unlock()
			t.Cleanup(p.Close)
			p.Retain(snapshot(t, shared()))
			return p
		}
		var all []*process
		for range n {
			all = append(all, start(nil))
		}
		synctest.Wait()
		f(t, at, all, start)
	})
}

func shared() *account.Account {
	return tokentest.AccountLike(bubbleAccount(1), func(a *account.Account) { a.RefreshToken = account.NewSecret("row0/0") })
}

func (p *process) source() *Source { return p.Source(shared()) }

// kept is what the store of the process has.
func (p *process) kept() Record {
	r, _, _ := p.store.Load(ChainOf(shared()))
	return r
}

// sameToken checks that all have the token, and have it saved.
func sameToken(t *testing.T, access string, all ...*process) {
	t.Helper()
	for _, p := range all {
		if tok := p.source().Cached(); tok == nil || tok.Access != access {
			t.Errorf("%s has not %s but %v", p.name, access, tok)
		}
		if r := p.kept(); r.Access.Reveal() != access {
			t.Errorf("%s has not saved %s", p.name, access)
		}
	}
}

func want(t *testing.T, at *provider, requests ...string) {
	t.Helper()
	if got := strings.Join(at.requests(), ", "); got != strings.Join(requests, ", ") {
		t.Errorf("the provider was asked %s; want %s", got, strings.Join(requests, ", "))
	}
}

// Callers of all processes at one time bring one refresh; who loses waits for what the other
// publishes.
func TestOneRefreshForAllProcesses(t *testing.T) {
	together(t, 4, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		var wg sync.WaitGroup
		for _, p := range all {
			for range 3 {
				wg.Go(func() {
					if tok := mustGet(t, p.source()); tok.Access != "access-1" {
						t.Errorf("%s has another token", p.name)
					}
				})
			}
		}
		began := time.Now()
		wg.Wait()
		if took := time.Since(began); took != at.takes {
			t.Errorf("the losers waited for %v", took)
		}
		synctest.Wait()
		if n := len(at.requests()); n != 1 {
			t.Errorf("%d refreshes", n)
		}
		sameToken(t, "access-1", all...)
	})
}

// For a day all processes use the account. No refresh token is used twice, the early
// refreshes are one for all, and no caller ever waits.
func TestNoTokenIsUsedTwice(t *testing.T) {
	for _, deaf := range []bool{false, true} { // deaf: events of publications are lost
		t.Run(fmt.Sprintf("deaf %t", deaf), func(t *testing.T) {
			together(t, 4, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
				if deaf {
					all[0].side.adopt = make([]func(Chain, Record), len(all))
				}
				for _, p := range all {
					mustGet(t, p.source())
				}
				for range 24 * 60 {
					time.Sleep(time.Minute)
					synctest.Wait()
					for _, p := range all {
						if p.source().Cached() == nil {
							t.Fatalf("%s has no token", p.name)
						}
					}
				}
				seen := map[string]bool{}
				for _, r := range at.requests() {
					_, sent, _ := strings.Cut(r, ": ")
					if seen[sent] {
						t.Errorf("%s was used twice", sent)
					}
					seen[sent] = true
				}
				if n := len(seen); n < 24 || n > 36 {
					t.Errorf("%d refreshes in a day", n)
				}
			})
		})
	}
}

// Adoption ends a refusal, serves those who wait, and needs no source.
func TestAdoption(t *testing.T) {
	together(t, 3, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		a, b, c := all[0], all[1], all[2]
		at.used["row0/0"] = true
		if _, err := b.source().Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
			t.Fatal(err)
		}
		at.used["row0/0"] = false // a person has acted, for a
		if err := a.ForceRefresh(t.Context(), shared()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		sameToken(t, "access-1", a, b)
		if c.kept().Access.Reveal() != "access-1" {
			t.Error("c, which nobody uses, has not saved the record")
		}
		if _, ok := c.sources.Load("acct1"); ok {
			t.Error("c has a source that nobody uses")
		}
		if tok := mustGet(t, c.source()); tok.Access != "access-1" {
			t.Error("c has another token")
		}
		want(t, at, "b: row0/0", "a: row0/0")
	})
}

// The holder of the claim stands still for a minute, at each place of a refresh.
func TestHolderFrozen(t *testing.T) {
	const minute = time.Minute
	t.Run("before it asks", func(t *testing.T) {
		together(t, 2, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
			a, b := all[0], all[1]
			a.side.set(func(s *side) { s.frozen = minute })
			a.source().Request(func(*Token, error) {})
			time.Sleep(time.Second)
			mustGet(t, b.source())
			time.Sleep(2 * minute)
			synctest.Wait()
			want(t, at, "b: row0/0")
			sameToken(t, "access-1", a, b)
		})
	})
	t.Run("while it asks", func(t *testing.T) {
		together(t, 2, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
			a, b := all[0], all[1]
			all[0].side.adopt = make([]func(Chain, Record), 2)
			a.stall <- minute
			told := make(chan *Token, 1)
			a.source().Request(func(tok *Token, _ error) { told <- tok })
			time.Sleep(time.Second)
			mustGet(t, b.source())
			if tok := <-told; tok == nil || tok.Access != "access-1" {
				t.Errorf("a's caller was told %v", tok)
			}
			want(t, at, "b: row0/0", "a: row0/0") // no fence keeps a from the endpoint
			sameToken(t, "access-1", a, b)
		})
	})
	t.Run("while it saves", func(t *testing.T) {
		together(t, 1, func(t *testing.T, at *provider, all []*process, start func(*memoryStore) *process) {
			a := all[0]
			slow := &slowStore{takes: minute}
			a.cfg.Store = slow
			b := start(nil)
			a.source().Request(func(*Token, error) {})
			time.Sleep(2 * time.Second)
			if _, err := b.source().Get(t.Context()); !errors.Is(err, ErrInvalidGrant) {
				t.Fatal(err) // the only good token is on its way to a's disk
			}
			time.Sleep(2 * minute)
			synctest.Wait()
			want(t, at, "a: row0/0", "b: row0/0")
			sameToken(t, "access-1", b)
		})
	})
}

// Two refreshes cross, at a provider that lets them. What was committed counts; the other
// refresh token is kept, and is used when the committed one is no longer good.
func TestSpareToken(t *testing.T) {
	together(t, 2, func(t *testing.T, at *provider, all []*process, start func(*memoryStore) *process) {
		a, b := all[0], all[1]
		at.lenient = true
		a.stall <- time.Minute
		a.source().Request(func(*Token, error) {})
		time.Sleep(time.Second)
		mustGet(t, b.source())
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want(t, at, "b: row0/0", "a: row0/0")
		sameToken(t, "access-1", a, b)
		if got := a.kept().Spare.Reveal(); got != "row1/2" {
			t.Errorf("a keeps %q", got)
		}
		at.dead["row0"] = true
		a.Close() // a restart does not lose it
		a = start(a.store)
		a.source().Request(func(*Token, error) {})
		synctest.Wait()
		a.source().Invalidate(a.source().Cached())
		if tok := mustGet(t, a.source()); tok.Access != "access-3" {
			t.Errorf("a has %v", tok)
		}
		synctest.Wait()
		sameToken(t, "access-3", a, b)
		if !a.kept().Spare.IsZero() {
			t.Error("the spare token stays")
		}
	})
}

// Without the store no refresh token is used. Tokens at hand serve until they end, and all
// goes on when the store is back.
func TestShareAway(t *testing.T) {
	together(t, 2, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		a, b := all[0], all[1]
		mustGet(t, a.source())
		synctest.Wait()
		a.side.set(func(s *side) { s.away = true })
		for range 58 {
			time.Sleep(time.Minute)
			if a.source().Cached() == nil {
				t.Fatal("the token at hand is not used")
			}
		}
		time.Sleep(2 * time.Minute)
		_, err := a.source().Get(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, flow.ErrStore) || e.Permanent() || e.Hint != hint.TokenShareAway || !strings.Contains(e.Public(), e.Hint.Remedy()) {
			t.Fatalf("err = %v", err)
		}
		want(t, at, "a: row0/0")
		application := tokentest.AccountLike(shared(), func(a *account.Account) {
			a.ID, a.Flow, a.ClientSecret = "app", account.FlowClientCredentials, account.NewSecret("s")
		})
		if err := a.ForceRefresh(t.Context(), application); err != nil {
			t.Errorf("an account without a refresh token: %v", err)
		}
		a.side.set(func(s *side) { s.away = false })
		mustGet(t, a.source())
		synctest.Wait()
		if n := len(at.requests()); n != 3 {
			t.Errorf("%d requests", n)
		}
		sameToken(t, a.source().Cached().Access, a)
		if b.kept().Access != a.kept().Access {
			t.Error("b has not heard of it")
		}
	})
}

// A token that comes due in an outage is replaced after it, and no caller waits.
func TestDueInAnOutage(t *testing.T) {
	together(t, 1, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		a := all[0]
		mustGet(t, a.source())
		use := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if a.source().Cached() == nil {
					t.Fatal("no token")
				}
			}
		}
		use(35 * time.Minute)
		a.side.set(func(s *side) { s.away = true })
		use(20 * time.Minute)
		a.side.set(func(s *side) {
			if most := int(20*time.Minute/shareRetry) + 2; s.asked > most {
				t.Errorf("the store was asked %d times, more than %d", s.asked, most)
			}
			s.away = false
		})
		use(time.Minute)
		synctest.Wait()
		want(t, at, "a: row0/0", "a: row0/1")
	})
}

// A process ends between saving and publishing: the next one publishes. One that lives does
// so when the store is back.
func TestSavedAndNotPublished(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			together(t, 2, func(t *testing.T, at *provider, all []*process, start func(*memoryStore) *process) {
				a, b := all[0], all[1]
				a.side.set(func(s *side) { s.mute = true })
				if tok := mustGet(t, a.source()); tok.Access != "access-1" {
					t.Fatal(tok)
				}
				if killed {
					a.Close()
					start(a.store)
				} else {
					a.side.set(func(s *side) { s.mute = false })
				}
				time.Sleep(time.Minute) // the claim ends first
				synctest.Wait()
				if b.kept().Refresh.Reveal() != "row0/1" {
					t.Errorf("b has %q", b.kept().Refresh.Reveal())
				}
				mustGet(t, b.source())
				want(t, at, "a: row0/0")
			})
		})
	}
}

// A node of before the sharing has the good token; the newer use wins, whoever comes first.
func TestRecordsFromBefore(t *testing.T) {
	together(t, 1, func(t *testing.T, at *provider, all []*process, start func(*memoryStore) *process) {
		chain := ChainOf(shared())
		old := Record{Refresh: account.NewSecret("row0/1"), Rotated: time.Now().Add(-48 * time.Hour)}
		good := Record{Refresh: account.NewSecret("row0/2"), Rotated: time.Now().Add(-time.Hour)}
		stale := start(&memoryStore{records: map[Chain]Record{chain: old}})
		time.Sleep(time.Minute)
		fresh := start(&memoryStore{records: map[Chain]Record{chain: good}})
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, p := range []*process{stale, fresh, all[0]} {
			if got := p.kept().Refresh.Reveal(); got != "row0/2" {
				t.Errorf("%s has %s", p.name, got)
			}
		}
		mustGet(t, stale.source())
		want(t, at, "b: row0/2")
	})
}

// A forced refresh asks the endpoint, with the newest refresh token of all.
func TestForcedAmongProcesses(t *testing.T) {
	together(t, 2, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		a, b := all[0], all[1]
		a.side.adopt = make([]func(Chain, Record), 2)
		mustGet(t, a.source())
		if err := b.ForceRefresh(t.Context(), shared()); err != nil {
			t.Fatal(err)
		}
		want(t, at, "a: row0/0", "b: row0/1")
		sameToken(t, "access-2", b)
	})
}

// A clock that is ahead does not make a record of the future useless, nor last longer.
func TestClockAhead(t *testing.T) {
	together(t, 1, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		now := time.Now()
		a := shared()
		r := Record{Access: account.NewSecret("ahead"), Refreshed: now.Add(time.Minute), Expiry: now.Add(time.Hour),
			Credentials: a.CredentialsFingerprint(), Generation: 1}
		all[0].Adopt(ChainOf(a), r)
		tok := mustGet(t, all[0].source())
		if tok.Access != "ahead" || !tok.Expiry.Equal(now.Add(59*time.Minute)) {
			t.Errorf("%s until %v", tok.Access, tok.Expiry)
		}
		want(t, at)
	})
}

// Two processes whose files differ in what an access token depends on do not wake each other.
func TestOtherCredentials(t *testing.T) {
	together(t, 2, func(t *testing.T, at *provider, all []*process, _ func(*memoryStore) *process) {
		a, b := all[0], all[1]
		b.Retain(snapshot(t, tokentest.AccountLike(shared(), func(a *account.Account) { a.Scope = "other" })))
		mustGet(t, a.source())
		synctest.Wait()
		if tok, err := b.Source(b.accounts.Load().All()[0]).Get(t.Context()); err != nil || tok.Access != "access-2" {
			t.Errorf("b has %v, %v", tok, err)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if tok := a.source().Cached(); tok == nil || tok.Access != "access-1" {
			t.Errorf("a has %v", tok)
		}
		want(t, at, "a: row0/0", "b: row0/1")
	})
}
