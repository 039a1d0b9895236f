package upgrade

import (
	"fmt"
	"slices"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// toGreet are the phases of a connection that no client could use: it was refused, or its
// login was.
var toGreet = []string{"connect", "tls", "greeting", "ehlo", "auth"}

// refused counts the connections that were refused, whether or not the message was sent again.
func (r *result) refused() (n int64) {
	for _, reply := range slices.Concat(r.load.Replies, r.load.Resent) {
		if slices.Contains(toGreet, reply.Phase) {
			n += reply.Count
		}
	}
	return n
}

// resent counts the messages that were sent again on another connection: the old process ended
// the one that they came on with 421, or cut it off.
func (r *result) resent() (goodbye, cut int64) {
	for _, reply := range r.load.Resent {
		switch {
		case slices.Contains(toGreet, reply.Phase):
		case reply.Code == 421:
			goodbye += reply.Count
		default:
			cut += reply.Count
		}
	}
	return goodbye, cut
}

// mostConnections is the most that a mailbox had.
func (r *result) mostConnections() (n int) {
	for _, p := range r.peaks {
		n = max(n, p.Connections)
	}
	return n
}

func (r *result) table(o *Command) *lab.Table {
	total, q, p := r.load.Total, r.load.Total.Latency, r.proof()
	goodbye, cut := r.resent()
	t := &lab.Table{Title: fmt.Sprintf("%d times %s under %s over %d accounts", o.Upgrades, o.By, o.Rate, o.Accounts), Header: []string{"what", "value"}}
	t.Add("one takes, median and most, s", lab.List(lab.Median(r.took), slices.Max(r.took)))
	t.Add("messages due, accepted, failed", lab.List(total.Due, total.Accepted, total.Failed()))
	t.Add("connections refused", r.refused())
	t.Add("messages sent again after 421, after another refusal or a cut", lab.List(goodbye, cut))
	t.Add("messages of unknown fate, of them delivered", lab.List(total.Unknown, p.Uncertain))
	t.Add("lost, twice, altered, under another account", lab.List(p.Missing, p.Duplicated, p.Altered, p.Misattributed))
	t.Add("most connections of a mailbox, allowed", lab.List(r.mostConnections(), perAccount))
	t.Add("P50, P95, P99, most, ms", lab.List(q.P50, q.P95, q.P99, q.Max))
	for _, reply := range r.load.Replies {
		if reply.Code/100 != 2 {
			t.Add(fmt.Sprintf("failed at %s: %d %s", reply.Phase, reply.Code, reply.Sample), reply.Count)
		}
	}
	return t
}

// proof is what the provider said; without it there is no result.
func (r *result) proof() *report.Proof {
	if r.load.Proof == nil {
		lab.Failf("the run has no proof of delivery")
	}
	return r.load.Proof
}

// failures are what should not have been.
func (r *result) failures(o *Command) (all []error) {
	total, p := r.load.Total, r.proof()
	_, cut := r.resent()
	for _, wrong := range []struct {
		n    int64
		what string
	}{
		{r.refused(), "connections were refused"},
		{total.Failed(), "messages failed for good, or have no answer"},
		{cut, "messages were refused, or cut off before their end"},
		{p.Missing, "messages were lost"},
		{p.Duplicated, "messages came twice"},
		{p.Altered + p.Misattributed + p.Unacknowledged, "messages were altered, under another account, or delivered although they were refused"},
	} {
		if wrong.n > 0 {
			all = append(all, fmt.Errorf("%d %s", wrong.n, wrong.what))
		}
	}
	if !p.Holds && all == nil {
		all = append(all, fmt.Errorf("the proof does not hold: %v", p.Examples))
	}
	if n := r.mostConnections(); n > perAccount {
		all = append(all, fmt.Errorf("a mailbox had %d connections at a time", n))
	}
	if p99 := time.Duration(float64(r.load.Total.Latency.P99) * float64(time.Millisecond)); o.P99 > 0 && p99 > o.P99 {
		all = append(all, fmt.Errorf("the P99 is %v", p99))
	}
	return all
}
