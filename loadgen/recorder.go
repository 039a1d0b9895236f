package main

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/loadgen/report"
)

// Histograms count microseconds. What takes longer than maxLatency counts as
// maxLatency: the timeout of a reply is below it.
const (
	minLatency = int64(1)
	maxLatency = int64(time.Hour / time.Microsecond)
)

// newHistogram returns a histogram of three significant digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(minLatency, maxLatency, 3)
}

// recordDuration counts d in h.
func recordDuration(h *hdrhistogram.Histogram, d time.Duration) {
	// The value is within the range, so there is no error.
	_ = h.RecordValue(min(max(d.Microseconds(), minLatency), maxLatency))
}

// A tally has the counts of a part of the run.
type tally struct {
	accepted, refused, broken, unknown int64
	refusedRcpts                       int64
	octets                             int64     // of accepted content
	last                               time.Time // the last message ended then
	latency, service                   *hdrhistogram.Histogram
}

// newTally returns an empty tally.
func newTally() *tally {
	return &tally{latency: newHistogram(), service: newHistogram()}
}

// add counts one message; latency and service time are those of accepted
// messages only, since a refusal is quick and would flatter.
func (t *tally) add(o *outcome, size int, end time.Time, latency, service time.Duration) {
	t.last = end
	switch o.fate {
	case fateAccepted:
		t.accepted++
		t.octets += int64(size)
		recordDuration(t.latency, latency)
		recordDuration(t.service, service)
	case fateRefused:
		t.refused++
	case fateBroken:
		t.broken++
	case fateUnknown:
		t.unknown++
	}
	t.refusedRcpts += int64(o.refusedRcpts)
}

// merge adds what other has counted.
func (t *tally) merge(other *tally) {
	t.accepted += other.accepted
	t.refused += other.refused
	t.broken += other.broken
	t.unknown += other.unknown
	t.refusedRcpts += other.refusedRcpts
	t.octets += other.octets
	if other.last.After(t.last) {
		t.last = other.last
	}
	t.latency.Merge(other.latency)
	t.service.Merge(other.service)
}

// reset makes t empty.
func (t *tally) reset() {
	latency, service := t.latency, t.service
	latency.Reset()
	service.Reset()
	*t = tally{latency: latency, service: service}
}

// replyKey groups replies. The enhanced status code is kept as text, which
// costs nothing for the accepted messages: they all find their key in place.
type replyKey struct {
	phase phaseName
	code  int
}

// replyCount counts one kind of reply.
type replyCount struct {
	count  int64
	sample string
}

// A recorder counts outcomes. It is sharded: a goroutine records into the
// shard of its number, so that their locks are seldom contended.
type recorder struct {
	shards []recorderShard
}

// recorderShard has counters of its own; the lock guards all of them.
type recorderShard struct {
	mu       sync.Mutex
	phases   []*tally // of the run
	interval *tally   // since the last call of collect
	setup    *hdrhistogram.Histogram
	replies  map[replyKey]*replyCount // that decided messages
	again    map[replyKey]*replyCount // after which messages were sent again
	opened   int64                    // connections
	_        [64]byte
}

// newRecorder returns a recorder for a run of so many phases.
func newRecorder(shards, phases int) *recorder {
	r := &recorder{shards: make([]recorderShard, shards)}
	for i := range r.shards {
		s := &r.shards[i]
		s.interval, s.setup = newTally(), newHistogram()
		s.replies, s.again = make(map[replyKey]*replyCount), make(map[replyKey]*replyCount)
		for range phases {
			s.phases = append(s.phases, newTally())
		}
	}
	return r
}

// message records the outcome of a message that ends now. Latency counts from
// the instant it was due, service from the one at which its sending began.
func (r *recorder) message(worker, phase int, o *outcome, size int, due, start time.Time) {
	end := time.Now()
	latency, service := end.Sub(due), end.Sub(start)
	s := &r.shards[worker%len(r.shards)]
	s.mu.Lock()
	s.phases[phase].add(o, size, end, latency, service)
	s.interval.add(o, size, end, latency, service)
	countReply(s.replies, o)
	s.mu.Unlock()
}

// resent records what a message is sent again after.
func (r *recorder) resent(worker int, o *outcome) {
	s := &r.shards[worker%len(r.shards)]
	s.mu.Lock()
	countReply(s.again, o)
	s.mu.Unlock()
}

// countReply counts the reply in o.
func countReply(replies map[replyKey]*replyCount, o *outcome) {
	key := replyKey{o.phase, o.code}
	counted := replies[key]
	if counted == nil {
		counted = &replyCount{sample: oneLine(o.text)}
		replies[key] = counted
	}
	counted.count++
}

// oneLine renders a reply's lines for a report, cut to a sensible length.
func oneLine(text []byte) string {
	return oneline.Cut(strings.ToValidUTF8(strings.Join(strings.Fields(string(text)), " "), "?"), 160)
}

// connection records that a connection was opened and how long that took, log
// in included.
func (r *recorder) connection(worker int, d time.Duration) {
	s := &r.shards[worker%len(r.shards)]
	s.mu.Lock()
	recordDuration(s.setup, d)
	s.opened++
	s.mu.Unlock()
}

// collect moves what was counted since its last call into t.
func (r *recorder) collect(t *tally) {
	t.reset()
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		t.merge(s.interval)
		s.interval.reset()
		s.mu.Unlock()
	}
}

// totals are a recorder's counts over all shards.
type totals struct {
	phases  []*tally
	all     *tally
	setup   *hdrhistogram.Histogram
	opened  int64
	replies []report.Reply
	again   []report.Reply
}

// totals adds the shards up.
func (r *recorder) totals() totals {
	sum := totals{all: newTally(), setup: newHistogram()}
	for range r.shards[0].phases {
		sum.phases = append(sum.phases, newTally())
	}
	replies, again := make(map[replyKey]*replyCount), make(map[replyKey]*replyCount)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		for p, t := range s.phases {
			sum.phases[p].merge(t)
			sum.all.merge(t)
		}
		sum.setup.Merge(s.setup)
		sum.opened += s.opened
		addReplies(replies, s.replies)
		addReplies(again, s.again)
		s.mu.Unlock()
	}
	sum.replies, sum.again = sortReplies(replies), sortReplies(again)
	return sum
}

// addReplies adds the counts of from to those of to.
func addReplies(to, from map[replyKey]*replyCount) {
	for key, counted := range from {
		if to[key] == nil {
			to[key] = &replyCount{sample: counted.sample}
		}
		to[key].count += counted.count
	}
}

// sortReplies renders replies for the report, the most frequent first.
func sortReplies(replies map[replyKey]*replyCount) (list []report.Reply) {
	for key, counted := range replies {
		list = append(list, report.Reply{
			Phase: string(key.phase), Code: key.code, Count: counted.count, Sample: counted.sample,
		})
	}
	slices.SortFunc(list, func(a, b report.Reply) int { return int(b.Count - a.Count) })
	return list
}

// quantiles renders a histogram for the report.
func quantiles(h *hdrhistogram.Histogram) report.Quantiles {
	at := func(p float64) report.Millis { return report.Millis(h.ValueAtPercentile(p)) / 1000 }
	return report.Quantiles{
		Count: h.TotalCount(), Mean: report.Millis(h.Mean() / 1000),
		P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9),
		Max: report.Millis(h.Max()) / 1000,
	}
}

// curve returns points of the histogram's percentiles, denser towards the tail.
func curve(h *hdrhistogram.Histogram) []report.CurvePoint {
	if h.TotalCount() == 0 {
		return nil
	}
	var points []report.CurvePoint
	for _, b := range h.CumulativeDistributionWithTicks(5) {
		points = append(points, report.CurvePoint{Percentile: b.Quantile, Latency: report.Millis(b.ValueAt) / 1000})
	}
	return points
}
