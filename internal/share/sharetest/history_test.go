package sharetest_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"xoauth2-proxy/internal/share/ledger"
	"xoauth2-proxy/internal/share/sharetest"
)

func run(h sharetest.History) (sharetest.Result, error) {
	c := sharetest.NewClock()
	return h.Run(c, ledger.New(ledger.Config{Now: c.Now, BusyFor: h.BusyFor}))
}

// histories are as many of each kind as XP_HISTORIES says, or n.
func histories(n, steps int) (all []sharetest.History) {
	if s, err := strconv.Atoi(os.Getenv("XP_HISTORIES")); err == nil {
		n = s
	}
	for i := range n {
		for _, limit := range []int{1, 2, 3, 10} {
			for j, permits := range []int{0, 12, 600} {
				all = append(all, sharetest.History{Seed: uint64(len(all) + 1), Nodes: 2 + (i+limit+j)%4, Limit: limit, Permits: permits, Steps: steps, BusyFor: time.Minute})
			}
		}
	}
	return all
}

func TestHistories(t *testing.T) {
	for _, h := range histories(1, 12_000) {
		t.Run(h.String(), func(t *testing.T) {
			r, err := run(h)
			if err != nil {
				t.Error(err)
			}
			t.Logf("%+v", r)
			if r.MostOpen < h.Limit || h.Permits > 0 && h.Permits < 100 && r.MostCounted < h.Permits {
				t.Errorf("the history does not reach the limits: %+v", r)
			}
		})
	}
}
