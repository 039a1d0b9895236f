package scale

import (
	"fmt"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// sums are those of a phase.
type sums struct {
	due, accepted, failed, unknown int64
	lost, doubled, wrong           int64
	uncertain                      int64 // delivered without an answer: an MTA sends them again
	again                          int64 // messages that were sent again before they were accepted
	p99                            float64
	connections, minute            int // the most of a mailbox
	tooMany, tooFast               int // mailboxes above a limit
}

// sum adds up what the loads of a phase have shown.
func (o *Command) sum(p *phase) (s sums) {
	for _, load := range p.loads {
		t, proof := load.Total, load.Proof
		if proof == nil {
			lab.Failf("a run has no proof of delivery")
		}
		s.due, s.accepted, s.failed, s.unknown = s.due+t.Due, s.accepted+t.Accepted, s.failed+t.Failed()-t.Unknown, s.unknown+t.Unknown
		s.lost, s.doubled = s.lost+proof.Missing, s.doubled+proof.Duplicated
		s.wrong, s.uncertain = s.wrong+proof.Altered+proof.Misattributed+proof.Unacknowledged, s.uncertain+proof.Uncertain
		s.p99 = max(s.p99, float64(t.Latency.P99))
		s.again += count(load.Resent)
	}
	for _, m := range p.peaks {
		s.connections = max(s.connections, m.Connections)
		if m.Connections > connections+p.excused {
			s.tooMany++
		}
		for _, span := range m.Spans {
			s.minute = max(s.minute, span.Messages)
			if span.Messages > o.aMinute()+p.forgotten {
				s.tooFast++
			}
		}
	}
	return s
}

func count(replies []report.Reply) (n int64) {
	for _, r := range replies {
		n += r.Count
	}
	return n
}

// heads are the columns of the table.
var heads = []string{"phase", "due", "accepted", "failed", "unknown fate, of them delivered", "sent again", "lost", "twice", "most connections", "most a minute",
	"mailboxes above a limit", "highest P99 ms", "CPU of the store"}

func (o *Command) cells(p *phase) []string {
	s := o.sum(p)
	store := "-"
	if p.store > 0 {
		store = fmt.Sprintf("%.1f %%", 100*p.store)
	}
	cells := []any{p.name, s.due, s.accepted, s.failed, fmt.Sprintf("%d, %d", s.unknown, s.uncertain), s.again, s.lost, s.doubled,
		s.connections, s.minute, s.tooMany + s.tooFast, lab.Number(s.p99), store}
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = fmt.Sprint(c)
	}
	return out
}

// table has a row for each phase.
func (o *Command) table(phases []*phase) *lab.Table {
	t := &lab.Table{Title: fmt.Sprintf("%d proxies, %d accounts, %d messages a second, shared: %s; a mailbox may have %d connections and %d messages a minute",
		o.Proxies, o.Accounts, o.Rate, o.Share, connections, o.aMinute()), Header: heads}
	for _, p := range phases {
		t.Rows = append(t.Rows, o.cells(p))
	}
	for i, p := range phases {
		if p.name == atHome {
			t.Add("P99, shared to not shared", lab.Number(o.sum(p).p99/o.sum(phases[i-1]).p99))
		}
	}
	return t
}

// failures are what should not have been.
func (o *Command) failures(phases []*phase) (all []error) {
	for _, p := range phases {
		s := o.sum(p)
		for _, wrong := range []struct {
			n    int64
			what string
		}{
			{s.lost, "messages were lost"},
			{s.doubled, "messages came twice that no client sent twice"},
			{s.wrong, "messages were altered, under another account, or delivered although they were refused"},
			{int64(s.tooMany), "mailboxes had too many connections at an instant"},
			{int64(s.tooFast), "mailboxes had too many messages in a minute"},
		} {
			if wrong.n > 0 {
				all = append(all, fmt.Errorf("%s: %d %s", p.name, wrong.n, wrong.what))
			}
		}
		if s.accepted == 0 {
			all = append(all, fmt.Errorf("%s: no message was accepted", p.name))
		}
		if p.complaint != nil {
			all = append(all, fmt.Errorf("%s: %w", p.name, p.complaint))
		}
	}
	return all
}
