package tenant

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/upstream/internal/lease"
	"xoauth2-proxy/upstream/internal/limit"
)

// Store keeps counts by hour over restarts; see upstream.QuotaStore.
type Store interface {
	Load(key string, hour func(hour int64, messages, recipients uint32))
	Save(key string, hour int64, messages, recipients uint32)
}

// Set has the tenants. Its methods are safe for concurrent use.
type Set struct {
	// Now is the clock. It is time.Now but for tests, which set it before the first message.
	Now func() time.Time

	store  Store                              // nil: counts are not kept
	byName atomic.Pointer[map[string]*Tenant] // those with a limit; nil: there are none

	pool    share.Pool // see Share
	changed func()

	mu    sync.Mutex         // guards known; no message takes it
	known map[string]*Tenant // all that ever had a limit, by the name that they count under
}

// NewSet returns the tenants of configs, by their names in lower case, with the counts that
// store has; it may be nil. Their use is put into set.
func NewSet(configs map[string]Config, store Store, set *metrics.Set) *Set {
	s := &Set{Now: time.Now, store: store, known: make(map[string]*Tenant)}
	s.Put(configs)
	gauge := func(name, help, do string, of func(Use) int) {
		metric.New(set, name, help, "tenant: its name in the configuration").Do(do).GaugesOf(func(set func(value float64, values ...string)) {
			for _, u := range s.Uses() {
				set(float64(of(u)), u.Name)
			}
		})
	}
	gauge("upstream_tenant_recipients", "External recipients of the last 24 hours, with those of messages under way, by configured tenant.",
		"Near the limit: send less through the accounts of the tenant. Beyond it clients get 452 and try again.", func(u Use) int { return u.Used })
	gauge("upstream_tenant_recipients_limit", "The limit on external recipients in 24 hours, by configured tenant.",
		"Nothing: tenants.NAME of the configuration says it. With more licences, raise it there.", func(u Use) int { return u.Max })
	return s
}

// Put puts other limits in force. A tenant that stays has its counts, and those that were
// counted under its aliases; one that is gone is not limited, and has its counts if it
// comes back.
func (s *Set) Put(configs map[string]Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byName := make(map[string]*Tenant)
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := configs[name]
		t := s.known[name]
		if t == nil {
			t = &Tenant{name: name, now: func() time.Time { return s.Now() }, meter: limit.NewMeter(s.Now())}
			s.share(t)
			s.load(t, name)
			s.known[name] = t
		}
		own := map[string]bool{name: true}
		byName[name] = t
		for _, alias := range c.Aliases {
			s.take(t, alias)
			byName[alias], own[alias] = t, true
		}
		for _, d := range c.Domains {
			own[d] = true
		}
		t.own.Store(&own)
		t.bound(c.ExternalRecipients)
	}
	for name, t := range s.known {
		if _, ok := configs[name]; !ok {
			t.lease.Limit(0, [share.NumKinds]int{})
		}
	}
	if len(byName) == 0 {
		s.byName.Store(nil)
		return
	}
	s.byName.Store(&byName)
}

// bound puts the limit of t in force.
func (t *Tenant) bound(most int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.limits = account.Limits{RecipientsPerDay: most}
	t.lease.Limit(0, [share.NumKinds]int{share.RecipientsPerDay: most})
}

// Share has the tenants count together with other processes. changed is called after what a
// tenant may use has changed, on any goroutine, and must not wait. It is called before the
// first message.
func (s *Set) Share(p share.Pool, changed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pool, s.changed = p, changed
	for _, t := range s.known {
		s.share(t)
		t.meter.Hours(true, t.lease.Restore)
		t.bound(t.limits.RecipientsPerDay)
	}
}

// share has t count together with other processes, if there are some.
func (s *Set) share(t *Tenant) {
	t.lease = lease.Join(s.pool, Config{}.CountKey(t.name), s.changed)
	t.meter.Share(t.lease)
}

// Leave gives back what the tenants share with other processes. Nothing may be in use.
func (s *Set) Leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.known {
		t.lease.Leave()
	}
}

// load adds to t what the store has of the name.
func (s *Set) load(t *Tenant, name string) (hours []int64) {
	if s.store == nil {
		return nil
	}
	s.store.Load(Config{}.CountKey(name), func(hour int64, messages, recipients uint32) {
		t.meter.Restore(hour, messages, recipients)
		t.lease.Restore(hour, messages, recipients)
		if messages+recipients > 0 {
			hours = append(hours, hour)
		}
	})
	return hours
}

// take moves to t what was counted under an alias of it, here or by a process before this
// one.
func (s *Set) take(t *Tenant, alias string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.meter.Advance(s.Now())
	if old := s.known[alias]; old != nil {
		old.mu.Lock()
		defer old.mu.Unlock()
		t.meter.Merge(old.meter, s.Now())
		old.meter.Hours(true, t.lease.Restore)
		old.meter.Clear()
		old.unsaved, old.saved, t.unsaved, t.saved = true, time.Time{}, true, time.Time{}
		return
	}
	for _, hour := range s.load(t, alias) {
		s.store.Save(Config{}.CountKey(alias), hour, 0, 0)
		t.unsaved, t.saved = true, time.Time{}
	}
}

// Of returns the tenant of an account, nil if it has no limit. It does not allocate.
func (s *Set) Of(a *account.Account) *Tenant {
	byName := s.byName.Load()
	if byName == nil {
		return nil
	}
	var buf [maxName]byte
	return (*byName)[string(fold(buf[:0], a.TenantName()))]
}

// Save gives the store what has changed.
func (s *Set) Save() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, t := range s.known {
		t.save(Config{}.CountKey(name), s.store)
	}
}

func (t *Tenant) save(key string, store Store) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.unsaved {
		return
	}
	now := t.now()
	t.meter.Advance(now)
	// The meter has the newest two hours for the first argument false.
	t.meter.Hours(now.Sub(t.saved) > time.Hour, func(hour int64, messages, recipients uint32) { store.Save(key, hour, messages, recipients) })
	t.unsaved, t.saved = false, now
}

// Uses returns how much of its limit each tenant has used, by name.
func (s *Set) Uses() (uses []Use) {
	if byName := s.byName.Load(); byName != nil {
		for _, name := range slices.Sorted(maps.Keys(*byName)) {
			if t := (*byName)[name]; t.name == name { // not an alias
				uses = append(uses, t.Use())
			}
		}
	}
	return uses
}
