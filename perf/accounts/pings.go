package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	conns         []net.Conn
	done          sync.WaitGroup
	longest, late atomic.Int64 // nanoseconds, since take

	mu  sync.Mutex
	err error
}

// startPings opens the connections and begins to ping.
func startPings(addr string) (*pings, error) {
	p := new(pings)
	for range pingers {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			_ = p.stop()
			return nil, err
		}
		p.conns = append(p.conns, conn)
		r := bufio.NewReader(conn)
		if _, err := r.ReadString('\n'); err != nil { // the greeting
			_ = p.stop()
			return nil, err
		}
		p.done.Go(func() { p.run(conn, r) })
	}
	return p, nil
}

func (p *pings) run(conn net.Conn, r *bufio.Reader) {
	for {
		start := time.Now()
		_, err := io.WriteString(conn, "NOOP\r\n")
		var reply string
		if err == nil {
			reply, err = r.ReadString('\n')
		}
		if err == nil && !strings.HasPrefix(reply, "250") {
			err = fmt.Errorf("NOOP was answered %q", reply)
		}
		if err != nil {
			p.mu.Lock()
			p.err = err
			p.mu.Unlock()
			return
		}
		paused := time.Now()
		raise(&p.longest, paused.Sub(start))
		time.Sleep(pingPause)
		raise(&p.late, time.Since(paused)-pingPause)
	}
}

// raise makes most at least d.
func raise(most *atomic.Int64, d time.Duration) {
	for {
		was := most.Load()
		if int64(d) <= was || most.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

// take returns the longest ping since the last call, and how late it was itself,
// in milliseconds. An error is that of a connection which failed.
func (p *pings) take() (longest, late float64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.longest.Swap(0)) / 1e6, float64(p.late.Swap(0)) / 1e6, p.err
}

// stop closes the connections and waits.
func (p *pings) stop() error {
	_, _, err := p.take()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.done.Wait()
	return err
}

// lags is the histogram of how late the loops saw their ticks: how many saw
// them within each bound, in seconds.
type lags map[float64]float64

// readLags reads the histogram from the proxy's metrics.
func readLags(admin string) (lags, error) {
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	l := make(lags)
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), `smtp_loop_lag_seconds_bucket{le="`)
		if !ok {
			continue
		}
		bound, count, _ := strings.Cut(rest, `"} `)
		le, err := strconv.ParseFloat(bound, 64) // the last is +Inf
		if err != nil {
			return nil, err
		}
		if l[le], err = strconv.ParseFloat(count, 64); err != nil {
			return nil, err
		}
	}
	if len(l) == 0 {
		return nil, fmt.Errorf("%s/metrics has no smtp_loop_lag_seconds", admin)
	}
	return l, nil
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
