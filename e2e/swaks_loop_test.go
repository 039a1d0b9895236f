//go:build e2e

package e2e

import (
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
)

const (
	// swaksLoop is the number of deliveries, unless E2E_SWAKS_LOOP has another.
	swaksLoop = 500
	// swaksLoopMost is what the account may send in a day.
	swaksLoopMost = 2000
	// swaksConcurrency is the number of them at one time.
	swaksConcurrency = 100
)

// TestSwaksLoop runs the operators' line over and over, many at one time:
// none may be lost, none may arrive twice.
func TestSwaksLoop(t *testing.T) {
	swaks := program(t, "swaks")
	n := swaksLoop
	if v := os.Getenv("E2E_SWAKS_LOOP"); v != "" {
		var err error
		if n, err = strconv.Atoi(v); err != nil || n < 1 || n > swaksLoopMost {
			t.Fatalf("E2E_SWAKS_LOOP: %q is not in 1..%d", v, swaksLoopMost)
		}
	}
	s := newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Limits: "off"})
	start := time.Now()
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		acked = map[string]bool{} // by Message-Id
		slots = make(chan struct{}, swaksConcurrency)
	)
	for range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o, err := run(t.Context(), nil, swaks, operatorsLine(s)...)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || o.code != 0 {
				t.Errorf("swaks: %v: %v", err, o)
				return
			}
			acked[messageID(o.stdout)] = true
		})
	}
	wg.Wait()
	arrived := map[string]int{}
	for _, m := range s.provider.Messages() {
		id := messageID(m.Body)
		arrived[id]++
		if !acked[id] {
			t.Errorf("message %s is at the provider, but its client was not told so", id)
		}
		if arrived[id] > 1 {
			t.Errorf("message %s arrived %d times", id, arrived[id])
		}
	}
	if len(acked) != n || len(arrived) != n {
		t.Errorf("%d runs: %d were told that the message was delivered, %d messages are at the provider", n, len(acked), len(arrived))
	}
	t.Logf("%d deliveries by swaks, %d at one time, took %v, with %d logins at the provider",
		n, swaksConcurrency, time.Since(start).Round(time.Millisecond), s.provider.AccountStats(gmailUser).Logins)
}
