package tenant

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
)

// memory is a Store.
type memory struct {
	mu    sync.Mutex
	hours map[string]map[int64][2]uint32
}

func (m *memory) Load(key string, hour func(int64, uint32, uint32)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for h, c := range m.hours[key] {
		hour(h, c[0], c[1])
	}
}

func (m *memory) Save(key string, hour int64, messages, recipients uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hours == nil {
		m.hours = make(map[string]map[int64][2]uint32)
	}
	if m.hours[key] == nil {
		m.hours[key] = make(map[int64][2]uint32)
	}
	m.hours[key][hour] = [2]uint32{messages, recipients}
}

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newSet returns a set at the time of c, which begins with the counts of store.
func newSet(c *clock, store Store, configs map[string]Config) *Set {
	s := NewSet(nil, store, metrics.NewSet())
	s.Now = c.Now
	s.Put(configs)
	return s
}

func of(tenant string) *account.Account { return &account.Account{Tenant: tenant} }

// send has n recipients sent at once, and returns for how many there were places.
func send(s *Set, tenant string, n int) (taken int) {
	var p Places
	for range n {
		if p.Take(s.Of(of(tenant))) {
			taken++
		}
	}
	p.Leave(taken)
	return taken
}

func TestOf(t *testing.T) {
	s := newSet(&clock{now: time.Now()}, nil, map[string]Config{
		"contoso.example":  {ExternalRecipients: 1, Aliases: []string{"01234567-89ab-cdef-0123-456789abcdef"}},
		"fabrikam.example": {ExternalRecipients: 1},
	})
	for _, tt := range []struct {
		a    account.Account
		want string
	}{
		{account.Account{Email: "a@contoso.example"}, "contoso.example"},
		{account.Account{Email: "a@CONTOSO.example"}, "contoso.example"},
		{account.Account{Email: "a@contoso.example", Tenant: "Fabrikam.example"}, "fabrikam.example"},
		{account.Account{Email: "a@contoso.example", Tenant: "Common"}, "contoso.example"},
		{account.Account{Email: "a@elsewhere.example", Tenant: "01234567-89AB-cdef-0123-456789abcdef"}, "contoso.example"},
		{account.Account{Email: "a@elsewhere.example"}, ""},
		{account.Account{Email: "a@sub.contoso.example"}, ""},
	} {
		got := ""
		if found := s.Of(&tt.a); found != nil {
			got = found.name
		}
		if got != tt.want {
			t.Errorf("%s of tenant %q: %q, want %q", tt.a.Email, tt.a.Tenant, got, tt.want)
		}
	}
	if none := newSet(&clock{now: time.Now()}, nil, nil); none.Of(of("contoso.example")) != nil || none.Uses() != nil {
		t.Error("there is a tenant")
	}
}

func TestExternal(t *testing.T) {
	s := newSet(&clock{now: time.Now()}, nil, map[string]Config{"contoso.example": {ExternalRecipients: 1,
		Domains: []string{"contoso.com"}, Aliases: []string{"contoso.onmicrosoft.com"}}})
	tenant := s.Of(of("contoso.example"))
	for path, want := range map[string]bool{
		"a@contoso.example": false, "a@Contoso.COM": false, "a@contoso.onmicrosoft.com": false, `"b@x"@contoso.com`: false,
		"a@example.com": true, "a@sub.contoso.com": true, "a@contoso.com.": true, "contoso.com": true, "a@[192.0.2.1]": true, "": true,
		`"a@contoso.com"@example.com`: true,
	} {
		if got := tenant.External([]byte(path)); got != want {
			t.Errorf("%q is external: %v", path, got)
		}
	}
}

// TestLimitIsStrict sends at random times, more than the limit lets through, with messages
// that are refused or of unknown fate, restarts and reloads between them. What the provider
// has taken is in a plain list: no 24 hours have more than the limit.
func TestLimitIsStrict(t *testing.T) {
	const most = 50
	rng := rand.New(rand.NewPCG(3, 4))
	c, store := &clock{now: time.Unix(1_800_000_000, 0)}, new(memory)
	configs := map[string]Config{"contoso.example": {ExternalRecipients: most}}
	s := newSet(c, store, configs)
	var taken []time.Time // by the provider
	refused := 0
	for step := range 4000 {
		c.advance(time.Duration(rng.Int64N(int64(40 * time.Minute))))
		tenant := s.Of(of("contoso.example"))
		var p Places
		places := 0
		for range 1 + rng.IntN(5) {
			if p.Take(tenant) {
				places++
			} else {
				refused++
			}
		}
		accepted := []int{0, places, places / 2}[rng.IntN(3)]
		for range accepted { // at some moment between the two
			taken = append(taken, c.Now())
		}
		c.advance(time.Duration(rng.Int64N(int64(10 * time.Minute))))
		p.Leave(accepted)
		for len(taken) > 0 && c.Now().Sub(taken[0]) > 24*time.Hour {
			taken = taken[1:]
		}
		if len(taken) > most {
			t.Fatalf("step %d: %d external recipients in 24 hours", step, len(taken))
		}
		switch rng.IntN(20) {
		case 0: // a restart
			s.Save()
			s = newSet(c, store, configs)
		case 1: // reloads: it has no limit for a moment
			s.Put(nil)
			s.Put(configs)
		}
	}
	if refused < 500 {
		t.Errorf("only %d were refused", refused)
	}
}

// TestUseSaysWhen: a place is free at the moment that is told, and not before.
func TestUseSaysWhen(t *testing.T) {
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	s := newSet(c, nil, map[string]Config{"contoso.example": {ExternalRecipients: 3}})
	if n := send(s, "contoso.example", 5); n != 3 {
		t.Fatalf("%d places, want 3", n)
	}
	u := s.Uses()[0]
	if wait := u.NextPlace.Sub(c.Now()); u.Name != "contoso.example" || u.Used != 3 || u.Max != 3 || wait < 24*time.Hour || wait > 25*time.Hour {
		t.Fatalf("%+v", u)
	}
	c.advance(u.NextPlace.Sub(c.Now()) - 1)
	if send(s, "contoso.example", 1) != 0 {
		t.Error("a place is free before the moment that was told")
	}
	if c.advance(1); send(s, "contoso.example", 1) != 1 {
		t.Error("no place is free at the moment that was told")
	}
}

// TestManyAtOnce takes and leaves places on many goroutines.
func TestManyAtOnce(t *testing.T) {
	const most, senders, each = 300, 8, 100
	s := newSet(&clock{now: time.Now()}, new(memory), map[string]Config{"contoso.example": {ExternalRecipients: most}})
	var sum sync.WaitGroup
	counts := make([]int, senders)
	for i := range senders {
		sum.Go(func() {
			for n := range each {
				if n%10 == 0 {
					s.Save()
					s.Put(map[string]Config{"contoso.example": {ExternalRecipients: most}})
				}
				counts[i] += send(s, "contoso.example", 1)
			}
		})
	}
	sum.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if total != most {
		t.Errorf("%d were sent, the limit is %d", total, most)
	}
}

// TestReload: counts stay with the tenant whatever a reload makes of it, and on disk too.
func TestReload(t *testing.T) {
	limit := func(n int, aliases ...string) Config { return Config{ExternalRecipients: n, Aliases: aliases} }
	for _, tt := range []struct {
		name     string
		from, to map[string]Config
		sender   string // afterwards
		left     int    // of the 6 that were sent before
	}{
		{"nothing changes", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(10)}, "a.example", 4},
		{"raised", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(20)}, "a.example", 14},
		{"lowered", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(7)}, "a.example", 1},
		{"lowered below what is sent", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(3)}, "a.example", 0},
		{"an alias is added", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(10, "b.example")}, "b.example", 4},
		{"renamed", map[string]Config{"a.example": limit(10)}, map[string]Config{"b.example": limit(10, "a.example")}, "a.example", 4},
		{"another is added", map[string]Config{"a.example": limit(10)}, map[string]Config{"a.example": limit(10), "b.example": limit(10)}, "b.example", 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, restart := range []bool{false, true} {
				c, store := &clock{now: time.Unix(1_800_000_000, 0)}, new(memory)
				s := newSet(c, store, tt.from)
				if send(s, "a.example", 6) != 6 {
					t.Fatal("no place")
				}
				c.advance(3 * time.Hour)
				if s.Save(); restart {
					s = newSet(c, store, tt.to)
				} else {
					s.Put(nil) // and gone for a moment
					s.Put(tt.to)
				}
				s.Put(tt.to) // again: nothing counts twice
				if got := send(s, tt.sender, 30); got != tt.left {
					t.Errorf("after a restart %v: %d places, want %d", restart, got, tt.left)
				}
				s.Save()
				s = newSet(c, store, tt.to)
				if got := send(s, tt.sender, 30); got != 0 {
					t.Errorf("after a restart %v, and another one: %d places more", restart, got)
				}
			}
		})
	}
}

// TestKeys: the counts of a tenant are under one key, which is no mailbox's.
func TestKeys(t *testing.T) {
	store := new(memory)
	s := newSet(&clock{now: time.Now()}, store, map[string]Config{"contoso.example": {ExternalRecipients: 10, Aliases: []string{"contoso.com"}}})
	send(s, "contoso.com", 4)
	s.Save()
	keys := maps.Keys(store.hours)
	for key := range keys {
		if key != "\x00tenant\x00contoso.example" {
			t.Errorf("key %q", key)
		}
	}
	mailbox := (&account.Account{Email: "contoso.example", SMTP: account.Endpoint{Host: "tenant", Port: 1}}).MailboxKey()
	if mailbox == (Config{}).CountKey("contoso.example") || len(store.hours) != 1 {
		t.Errorf("%d keys, mailbox %q", len(store.hours), mailbox)
	}
}

func TestNothingAllocates(t *testing.T) {
	c := &clock{now: time.Now()}
	s := newSet(c, nil, map[string]Config{"contoso.example": {ExternalRecipients: 1 << 30}})
	a, path := of("Contoso.Example"), []byte("to@Example.com")
	if n := testing.AllocsPerRun(100, func() {
		var p Places
		if tenant := s.Of(a); !tenant.External(path) || !p.Take(tenant) || tenant.Use().Used == 0 {
			t.Error("no place")
		}
		p.Leave(1)
	}); n != 0 {
		t.Errorf("%v allocations for a message", n)
	}
}

func ExampleSet() {
	s := NewSet(map[string]Config{"contoso.example": {ExternalRecipients: 1, Domains: []string{"contoso.com"}}}, nil, metrics.NewSet())
	tenant := s.Of(&account.Account{Email: "news@contoso.example"})
	var p Places
	fmt.Println(tenant.External([]byte("b@example.com")), p.Take(tenant), p.Take(tenant))
	// Output: true true false
}
