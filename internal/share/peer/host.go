package peer

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
)

// Host is the store of the old process. The member of that process uses it as it is, the
// other process by remote.
type Host struct {
	share.Store // the ledger
	of          *Switch

	mu      sync.Mutex
	others  map[string]*seen // what the other process has reported, by key
	unasked map[string]bool  // keys that the member of the old process has not reported
	asked   chan struct{}    // closed when there are none
	tell    func(context.Context, []granted)
}

// seen is what another node has counted and holds.
type seen struct {
	settled [share.NumKinds]uint64
	held    [share.NumKinds]int
	counts  counts
}

// NewHost returns a store that begins with what s has counted, as the node of that name did.
func NewHost(s *Switch, name string) *Host {
	var mu sync.Mutex
	var past time.Time // zero: the past is told
	l := ledger.New(ledger.Config{Epoch: rand.Text(), Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		if past.IsZero() {
			return s.now()
		}
		return past
	}})
	at := func(t time.Time) {
		mu.Lock()
		defer mu.Unlock()
		past = t
	}
	h := &Host{Store: l, of: s, others: make(map[string]*seen), unasked: s.keys(), asked: make(chan struct{})}
	if len(h.unasked) == 0 {
		close(h.asked)
	}
	before := &history{node: share.Node{Name: name, Incarnation: "before"}, sums: make(map[string]*share.Report)}
	for _, m := range moments(s.Uses(), s.now()) {
		at(m.at)
		_, _ = l.Renew(context.Background(), before.node, before.reports(m)) // one in memory answers
	}
	at(time.Time{})
	return h
}

// history is the node that has counted what was counted before there was a member: a store
// counts by the names of nodes.
type history struct {
	node share.Node
	sums map[string]*share.Report // by key: the last report
}

// noLimit has a store count without a bound.
const noLimit = 1 << 30

// reports returns the reports of a moment.
func (h *history) reports(m moment) (list []share.Report) {
	changed := make(map[string]bool)
	for _, c := range m.counts {
		r := h.sums[c.key]
		if r == nil {
			r = &share.Report{Key: c.key}
			for k := range share.NumKinds {
				r.Permits[k].Limit = noLimit
			}
			h.sums[c.key] = r
		}
		r.Permits[c.kind].Settled += uint64(c.n)
		changed[c.key] = true
	}
	for key := range changed {
		h.sums[key].Seq++
		list = append(list, *h.sums[key])
	}
	return list
}

// moment is a time at which something was counted.
type moment struct {
	at     time.Time
	counts []counted
}

type counted struct {
	key  string
	kind share.Kind
	n    int
}

// moments returns when what was counted, the oldest first, and before all a moment at which
// nothing was: a store counts from the first report on.
func moments(uses []Use, now time.Time) (list []moment) {
	by := make(map[int64][]counted)
	oldest := now
	for _, u := range uses {
		for k := range share.NumKinds {
			for slot, n := range u.Counts[k] {
				at := slot * width(k).Milliseconds()
				by[at] = append(by[at], counted{u.Key, k, n})
				if t := time.UnixMilli(at); t.Before(oldest) {
					oldest = t
				}
			}
		}
	}
	first := moment{at: oldest.Add(-time.Millisecond)}
	for _, u := range uses {
		first.counts = append(first.counts, counted{key: u.Key})
	}
	list = append(list, first)
	for at, counts := range by {
		list = append(list, moment{time.UnixMilli(at), counts})
	}
	slices.SortFunc(list, func(a, b moment) int { return a.at.Compare(b.at) })
	return list
}

// Renew implements share.Store for the old process: it adds to the reports what its member does
// not know, permits that were taken before there was one.
func (h *Host) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	whole, outside := slices.Clone(reports), make([][share.NumKinds]int, len(reports))
	for i := range whole {
		r := &whole[i]
		held, settled := h.of.held(r.Key)
		outside[i] = held
		for k := range share.NumKinds {
			p := &r.Permits[k]
			p.Held, p.Want, p.Settled = p.Held+held[k], p.Want+held[k], p.Settled+settled[k]
		}
	}
	a, err := h.Store.Renew(ctx, n, whole)
	if err == nil {
		h.announce(ctx, whole, a.Grants)
	}
	for i := range a.Grants {
		for k := range share.NumKinds {
			p := &a.Grants[i].Permits[k]
			p.Held = max(0, p.Held-outside[i][k])
		}
	}
	if err == nil {
		h.reported(reports)
	}
	return a, err
}

// tellTime is how long the other process has to hear of a grant to the old one. One that hangs
// uses nothing meanwhile.
const tellTime = share.CallTimeout / 4

// listened has tell called with what the old process is granted.
func (h *Host) listened(tell func(context.Context, []granted)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tell = tell
}

// announce tells the other process what counts now, before the old process may use what it was
// granted: it holds if that is killed.
func (h *Host) announce(ctx context.Context, reports []share.Report, grants []share.Grant) {
	h.mu.Lock()
	tell := h.tell
	h.mu.Unlock()
	if tell == nil {
		return
	}
	var list []granted
	for i := range reports {
		of := granted{Key: reports[i].Key}
		more := false
		for k := range share.NumKinds {
			p := &reports[i].Permits[k]
			of.Limits[k], of.Used[k] = p.Limit, grants[i].Permits[k].Used
			more = more || p.Limit > 0 && grants[i].Permits[k].Held > 0
		}
		if more {
			list = append(list, of)
		}
	}
	if len(list) > 0 {
		ctx, cancel := context.WithTimeout(ctx, tellTime)
		defer cancel()
		tell(ctx, list)
	}
}

// reported notes which keys the member has reported.
func (h *Host) reported(reports []share.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.unasked) == 0 {
		return
	}
	for i := range reports {
		delete(h.unasked, reports[i].Key)
	}
	if len(h.unasked) == 0 {
		close(h.asked)
	}
}

// remote is the host as the other process uses it.
type remote struct{ *Host }

// Renew implements share.Store.
func (h remote) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	a, err := h.Store.Renew(ctx, n, reports)
	if err == nil {
		h.watch(reports, a.Grants)
	}
	return a, err
}

// watch notes what the other process has counted and holds.
func (h *Host) watch(reports []share.Report, grants []share.Grant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.of.now()
	for i := range reports {
		r, g := &reports[i], &grants[i]
		if g.Stale {
			continue
		}
		s := h.others[r.Key]
		if s == nil {
			s = new(seen)
			h.others[r.Key] = s
		}
		for k := range share.NumKinds {
			if d := r.Permits[k].Settled - min(r.Permits[k].Settled, s.settled[k]); d > 0 {
				s.counts.own[k].add(k, slotOf(k, now), int(d))
			}
			s.settled[k], s.held[k] = r.Permits[k].Settled, 0
			if r.Permits[k].Limit > 0 {
				s.held[k] = g.Permits[k].Held
			}
		}
	}
}

// Others returns what the other process has counted, and held at its end.
func (h *Host) Others() (list []Use) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.of.now()
	for key, s := range h.others {
		for k, n := range s.held {
			if k := share.Kind(k); n > 0 {
				s.counts.own[k].add(k, slotOf(k, now), n)
				s.held[k] = 0
			}
		}
		if u, ok := s.counts.use(key, now); ok {
			list = append(list, u)
		}
	}
	return list
}
