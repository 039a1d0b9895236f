package fault

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Status is a rule with its counters.
type Status struct {
	Rule  Rule  `json:"rule"`
	Seen  int64 `json:"seen"`  // matching events
	Fired int64 `json:"fired"` // times that it struck
}

// Event is a moment of a session, which rules are matched against. Recipients are
// the transaction's so far; addresses are as sent.
type Event struct {
	Phase      Phase
	Endpoint   string
	Account    string
	MailFrom   string
	HasMail    bool // in a transaction
	Recipients []string
	Secure     bool             // over TLS
	Verb       string           // at phase command
	Conn       uint64           // number of the connection, 0 at the token endpoint
	PerConn    map[*Fault]int64 // counters of rules with Per "connection"; owned by the session
}

// Fault is a rule at work. It belongs to its script.
type Fault struct {
	Rule
	set         *ruleSet
	seen, fired int64            // under set.mu
	byAccount   map[string]int64 // with Per "account"; under set.mu
}

// ruleSet is one script. It is replaced whole.
type ruleSet struct {
	mu    sync.Mutex // guards the counters of all
	all   []*Fault
	phase map[Phase][]*Fault
	base  uint64 // connections accepted before the script was set
}

// Script is the current fault script. The zero value has no rules. Its methods
// may be called from any goroutine.
type Script struct {
	set   atomic.Pointer[ruleSet] // nil: no rules
	fired wait.Notifier
}

// Active reports whether the script has rules. Callers skip the making of an
// Event if it has none.
func (s *Script) Active() bool { return s.set.Load() != nil }

// Take returns the rule that strikes at ev, counted as fired, or nil.
func (s *Script) Take(ev *Event) *Fault {
	set := s.set.Load()
	if set == nil {
		return nil
	}
	r := set.take(ev)
	if r != nil {
		s.fired.Wake()
	}
	return r
}

func (set *ruleSet) take(ev *Event) *Fault {
	rules := set.phase[ev.Phase]
	if len(rules) == 0 {
		return nil
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, r := range rules {
		if r.matches(ev, set.base) && r.due(ev) {
			r.fired++
			return r
		}
	}
	return nil
}

// Untake takes one back from the count of Take: the moment passed before the fault
// could strike.
func (r *Fault) Untake() {
	r.set.mu.Lock()
	r.fired--
	r.set.mu.Unlock()
}

func (r *Fault) matches(ev *Event, base uint64) bool {
	if r.Endpoint != "" && r.Endpoint != ev.Endpoint ||
		r.Account != "" && !matchAddress(r.Account, ev.Account) ||
		r.Verb != "" && r.Verb != ev.Verb ||
		r.Secure != "" && (r.Secure == "tls") != ev.Secure ||
		r.Connection != 0 && uint64(r.Connection)+base != ev.Conn {
		return false
	}
	if r.MailFrom != "" && (!ev.HasMail || !matchAddress(r.MailFrom, cmp.Or(ev.MailFrom, "<>"))) {
		return false
	}
	return r.Recipient == "" ||
		slices.ContainsFunc(ev.Recipients, func(rcpt string) bool { return matchAddress(r.Recipient, rcpt) })
}

// due counts the event and reports whether the rule strikes at it.
func (r *Fault) due(ev *Event) bool {
	r.seen++
	n := r.seen
	switch r.Per {
	case "connection":
		if ev.PerConn != nil {
			ev.PerConn[r]++
			n = ev.PerConn[r]
		}
	case "account":
		if r.byAccount == nil {
			r.byAccount = map[string]int64{}
		}
		r.byAccount[ev.Account]++
		n = r.byAccount[ev.Account]
	}
	return (r.Nth == 0 || n == r.Nth) && (r.Every == 0 || n%r.Every == 0) && n >= r.Since &&
		(r.Times == 0 || r.fired < r.Times)
}

// matchAddress compares without regard to case; a pattern may begin with '*'.
func matchAddress(pattern, addr string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(addr) >= len(suffix) && strings.EqualFold(addr[len(addr)-len(suffix):], suffix)
	}
	return strings.EqualFold(pattern, addr)
}

// Set replaces the rules. Counters begin at 0; connections is how many were
// accepted so far. A fault that has struck already, such as a stall, goes on.
func (s *Script) Set(rules []Rule, connections uint64) error {
	set := &ruleSet{phase: map[Phase][]*Fault{}, base: connections}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		f := &Fault{Rule: r.normalize(i), set: set}
		set.all = append(set.all, f)
		set.phase[r.Phase] = append(set.phase[r.Phase], f)
	}
	if len(rules) == 0 {
		set = nil
	}
	s.set.Store(set)
	return nil
}

// ClearFaults removes all rules.
func (s *Script) ClearFaults() { s.set.Store(nil) }

// Faults returns the rules in order, with their counters.
func (s *Script) Faults() []Status {
	set := s.set.Load()
	if set == nil {
		return nil
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	out := make([]Status, len(set.all))
	for i, f := range set.all {
		out[i] = Status{f.Rule, f.seen, f.fired}
	}
	return out
}

// Fired returns how often the named rule struck.
func (s *Script) Fired(name string) int64 {
	for _, f := range s.Faults() {
		if f.Rule.Name == name {
			return f.Fired
		}
	}
	return 0
}

// WaitFired waits until the named rule has struck n times.
func (s *Script) WaitFired(ctx context.Context, name string, n int64) error {
	if err := s.fired.Until(ctx, func() bool { return s.Fired(name) >= n }); err != nil {
		return fmt.Errorf("fault %q fired %d of %d times: %w", name, s.Fired(name), n, err)
	}
	return nil
}
