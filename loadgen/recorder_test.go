package main

import (
	"sync"
	"testing"
	"time"
)

func TestRecorder(t *testing.T) {
	const workers, each = 6, 100
	r := newRecorder(4, 2)
	due := time.Now()
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range each {
				r.message(w, 0, &outcome{fate: fateAccepted, phase: phaseFinal, code: 250, text: []byte("250 2.0.0 ok\r\n"), refusedRcpts: 2}, 1000, due, due)
				r.message(w, 1, &outcome{fate: fateRefused, phase: phaseMAIL, code: 450, text: []byte("450-4.2.1 not\r\n450 4.2.1 now\r\n")}, 1000, due, due)
				r.message(w, 1, &outcome{fate: fateBroken, phase: phaseConnect, text: []byte("refused")}, 0, due, due)
				r.message(w, 1, &outcome{fate: fateUnknown, phase: phaseFinal, text: []byte("EOF")}, 1000, due, due)
			}
			r.connection(w, time.Millisecond)
		})
	}
	interval := newTally()
	r.collect(interval)
	got := interval.accepted
	wg.Wait()
	r.collect(interval)
	if got += interval.accepted; got != workers*each {
		t.Errorf("the intervals have %d accepted messages, want %d", got, workers*each)
	}

	sum := r.totals()
	const n = workers * each
	if a := sum.all; a.accepted != n || a.refused != n || a.broken != n || a.unknown != n || a.octets != 1000*n || a.refusedRcpts != 2*n {
		t.Errorf("all = %+v", a)
	}
	if p := sum.phases[0]; p.accepted != n || p.refused != 0 || p.latency.TotalCount() != n {
		t.Errorf("phase 0 = %+v", p)
	}
	if p := sum.phases[1]; p.accepted != 0 || p.refused != n || p.latency.TotalCount() != 0 {
		t.Errorf("phase 1 = %+v: only accepted messages have a latency", p)
	}
	if sum.opened != workers || sum.setup.TotalCount() != workers {
		t.Errorf("%d connections, %d times", sum.opened, sum.setup.TotalCount())
	}
	if len(sum.replies) != 4 {
		t.Fatalf("replies = %+v", sum.replies)
	}
	for _, reply := range sum.replies {
		if reply.Count != n {
			t.Errorf("reply = %+v", reply)
		}
		if reply.Code == 450 && reply.Sample != "450-4.2.1 not 450 4.2.1 now" {
			t.Errorf("sample = %q", reply.Sample)
		}
	}
}

func TestRecordDurationClamps(t *testing.T) {
	h := newHistogram()
	for _, d := range []time.Duration{-time.Second, 0, time.Nanosecond, 24 * time.Hour} {
		recordDuration(h, d)
	}
	if h.TotalCount() != 4 {
		t.Errorf("%d of 4 durations were counted", h.TotalCount())
	}
	q := quantiles(h)
	if q.P50 != 0.001 || q.Max < 3.5e6 {
		t.Errorf("quantiles = %+v", q)
	}
}
