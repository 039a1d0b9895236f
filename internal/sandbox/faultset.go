package sandbox

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// FaultStatus is a rule with its counters.
type FaultStatus struct {
	Rule  Rule  `json:"rule"`
	Seen  int64 `json:"seen"`  // matching events
	Fired int64 `json:"fired"` // times that it struck
}

// event is what rules are matched against. Recipients are those of the
// transaction so far; addresses are as sent.
type event struct {
	phase      Phase
	endpoint   string
	account    string
	mailFrom   string
	hasMail    bool
	recipients []string
	secure     bool
	verb       string           // at phase command
	conn       uint64           // number of the connection, 0 at the token endpoint
	perConn    map[*fault]int64 // counters of rules with Per "connection"; owned by the session
}

// fault is a rule at work.
type fault struct {
	Rule
	set         *ruleSet
	seen, fired int64            // under set.mu
	byAccount   map[string]int64 // with Per "account"; under set.mu
}

// ruleSet is one script. It is replaced whole.
type ruleSet struct {
	mu    sync.Mutex // guards the counters of all
	all   []*fault
	phase map[Phase][]*fault
	base  uint64 // connections accepted before the script was set
}

// faults holds the current script and tells of rules that fired.
type faults struct {
	set   atomic.Pointer[ruleSet] // nil: none
	fired wait.Notifier
}

// take returns the rule that strikes at ev, counted as fired, or nil.
func (f *faults) take(ev *event) *fault {
	set := f.set.Load()
	if set == nil {
		return nil
	}
	r := set.take(ev)
	if r != nil {
		f.fired.Wake()
	}
	return r
}

func (set *ruleSet) take(ev *event) *fault {
	rules := set.phase[ev.phase]
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

// untake gives back what take counted: the moment passed before the fault
// could strike.
func (r *fault) untake() {
	r.set.mu.Lock()
	r.fired--
	r.set.mu.Unlock()
}

func (r *fault) matches(ev *event, base uint64) bool {
	if r.Endpoint != "" && r.Endpoint != ev.endpoint ||
		r.Account != "" && !matchAddress(r.Account, ev.account) ||
		r.Verb != "" && r.Verb != ev.verb ||
		r.Secure != "" && (r.Secure == "tls") != ev.secure ||
		r.Connection != 0 && uint64(r.Connection)+base != ev.conn {
		return false
	}
	if r.MailFrom != "" {
		from := ev.mailFrom
		if from == "" {
			from = "<>"
		}
		if !ev.hasMail || !matchAddress(r.MailFrom, from) {
			return false
		}
	}
	if r.Recipient == "" {
		return true
	}
	for _, rcpt := range ev.recipients {
		if matchAddress(r.Recipient, rcpt) {
			return true
		}
	}
	return false
}

// due counts the event and reports whether it is one to strike at.
func (r *fault) due(ev *event) bool {
	r.seen++
	n := r.seen
	switch r.Per {
	case "connection":
		if ev.perConn != nil {
			ev.perConn[r]++
			n = ev.perConn[r]
		}
	case "account":
		if r.byAccount == nil {
			r.byAccount = map[string]int64{}
		}
		r.byAccount[ev.account]++
		n = r.byAccount[ev.account]
	}
	return (r.Nth == 0 || n == r.Nth) && (r.Every == 0 || n%r.Every == 0) && n >= r.Since && (r.Times == 0 || r.fired < r.Times)
}

// matchAddress compares without regard to case; a pattern may begin with '*'.
func matchAddress(pattern, addr string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return len(addr) >= len(suffix) && strings.EqualFold(addr[len(addr)-len(suffix):], suffix)
	}
	return strings.EqualFold(pattern, addr)
}

// SetFaults replaces the fault script. Counters begin at 0. A fault that has
// struck already, such as a stall, goes on.
func (s *Server) SetFaults(rules ...Rule) error {
	set := &ruleSet{phase: map[Phase][]*fault{}, base: s.connections.Load()}
	for i, r := range rules {
		if err := r.Validate(); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
		f := &fault{Rule: r.normalize(i), set: set}
		set.all = append(set.all, f)
		set.phase[r.Phase] = append(set.phase[r.Phase], f)
	}
	if len(rules) == 0 {
		set = nil
	}
	s.faults.set.Store(set)
	return nil
}

// ClearFaults removes the fault script.
func (s *Server) ClearFaults() { s.faults.set.Store(nil) }

// Faults returns the rules of the script in order, with their counters.
func (s *Server) Faults() []FaultStatus {
	set := s.faults.set.Load()
	if set == nil {
		return nil
	}
	set.mu.Lock()
	defer set.mu.Unlock()
	out := make([]FaultStatus, len(set.all))
	for i, f := range set.all {
		out[i] = FaultStatus{f.Rule, f.seen, f.fired}
	}
	return out
}

// Fired returns how often the named rule of the current script struck.
func (s *Server) Fired(name string) int64 {
	for _, f := range s.Faults() {
		if f.Rule.Name == name {
			return f.Fired
		}
	}
	return 0
}

// WaitFired waits until the named rule has struck n times.
func (s *Server) WaitFired(ctx context.Context, name string, n int64) error {
	if err := s.faults.fired.Until(ctx, func() bool { return s.Fired(name) >= n }); err != nil {
		return fmt.Errorf("fault %q fired %d of %d times: %w", name, s.Fired(name), n, err)
	}
	return nil
}
