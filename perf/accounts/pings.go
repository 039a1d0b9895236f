package accounts

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/perf/lab"
)

const (
	// pingers is how many idle connections are pinged: with them there is one
	// on each loop.
	pingers = 4
	// pingPause is between two pings of a connection, so that a stall of a few
	// milliseconds meets one, and the pings are no load of their own.
	pingPause = 2 * time.Millisecond
)

// pings sends NOOP on idle connections and keeps the longest time to an answer,
// and how late it was itself at the most: on a machine with few CPUs it waits for
// one as others do, and so much of the other figure may be its own.
type pings struct {
	conns []net.Conn
	done  sync.WaitGroup

	mu            sync.Mutex    // guards what follows
	longest, late time.Duration // since take
	err           error         // of a connection that failed
}

// startPings opens the connections and begins to ping.
func startPings(addr string) *pings {
	p := new(pings)
	for range pingers {
		c := lab.Must(lab.Open(lab.Must(lab.Dial(addr, nil)), ""))
		p.conns = append(p.conns, c)
		p.done.Go(func() { p.run(c) })
	}
	return p
}

func (p *pings) run(c *lab.Client) {
	for {
		start := time.Now()
		err := c.Ask("NOOP", '2')
		answered := time.Now()
		if err == nil {
			time.Sleep(pingPause)
		}
		p.mu.Lock()
		p.longest, p.late = max(p.longest, answered.Sub(start)), max(p.late, time.Since(answered)-pingPause)
		p.err = err
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take returns the longest ping since the last call, and how late it was itself,
// in milliseconds.
func (p *pings) take() (longest, late float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lab.Check(p.err)
	longest, late = p.longest.Seconds()*1e3, p.late.Seconds()*1e3
	p.longest, p.late = 0, 0
	return longest, late
}

// stop closes the connections and waits.
func (p *pings) stop() {
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.done.Wait()
}

// lags is the histogram of how late the loops saw their ticks: how many saw
// them within each bound, in seconds.
type lags map[float64]float64

// readLags reads the histogram from the proxy's metrics.
func readLags(metrics lab.Metrics) lags {
	l := make(lags)
	for name, count := range metrics {
		if bound, ok := strings.CutPrefix(name, `smtp_loop_lag_seconds_bucket{le="`); ok {
			l[lab.Must(strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64))] = count // the last is +Inf
		}
	}
	if len(l) == 0 {
		lab.Failf("the proxy's metrics have no smtp_loop_lag_seconds")
	}
	return l
}

// most returns the bound, in milliseconds, that every tick since before is
// within; 0 if there was none.
func (l lags) most(before lags) float64 {
	var all float64
	for le, n := range l {
		all = max(all, n-before[le])
	}
	if all == 0 {
		return 0
	}
	bound := -1.0
	for le, n := range l {
		if n-before[le] == all && (bound < 0 || le < bound) {
			bound = le
		}
	}
	return bound * 1e3
}
