package accounts

import (
	"math"
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

// lag returns the bound, in milliseconds, that every tick of a loop between two
// readings of the metrics came within, by the histogram of how late loops saw their
// ticks; 0 if there was none.
func lag(before, after lab.Metrics) float64 {
	within := make(map[float64]float64) // how many, by bound in seconds; the last is +Inf
	for name, count := range after {
		if bound, ok := strings.CutPrefix(name, `smtp_loop_lag_seconds_bucket{le="`); ok {
			within[lab.Must(strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64))] = count - before[name]
		}
	}
	all, ok := within[math.Inf(1)]
	if !ok {
		lab.Failf("the proxy's metrics have no smtp_loop_lag_seconds")
	}
	if all == 0 {
		return 0
	}
	bound := math.Inf(1)
	for le, n := range within {
		if n == all {
			bound = min(bound, le)
		}
	}
	return bound * 1e3
}
