// Package testkit has what tests of several packages need: certificates, an SMTP client
// that sends what a test says, waits, loopback listeners, and the reading of metrics.
// Package provider below it has a sandbox with accounts, package backend all that a
// server stands on.
//
// Functions and methods that take a testing.TB, or return no error, fail the test. They
// are for its goroutine; the others are for any.
package testkit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/listen"
)

// Patience bounds every wait. It is far above what any wait takes, so that only a hang
// meets it.
const Patience = 30 * time.Second

// Context ends after Patience, or after the test with what the test has to clean up.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Eventually waits until cond holds, where nothing tells when.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	Settle(t, func() string {
		if cond() {
			return ""
		}
		return "not so: " + what
	})
}

// Settle waits until what names nothing any more, where nothing tells when.
func Settle(t testing.TB, what func() string) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(Patience); ; <-look.C {
		left := what()
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still %s", Patience, left)
		}
	}
}

// Receive waits for a value of the channel.
func Receive[T any](t testing.TB, what string, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(Patience):
		t.Fatalf("not after %v: %s", Patience, what)
	}
	return v
}

// Listen opens a port of the loopback until the test ends.
func Listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// Serve runs handle for each connection to a port of the loopback, in a goroutine of its
// own; n counts them from 0. A connection is closed when handle returns. The end of the
// test closes all, and waits until each handle has returned.
func Serve(t testing.TB, handle func(n int, c net.Conn)) (addr string) {
	t.Helper()
	ln := Listen(t)
	var accepting, handling sync.WaitGroup
	var conns []net.Conn // of the accepting goroutine, until that has ended
	accepting.Go(func() {
		listen.Accept(ln, nil, func(c net.Conn) {
			n := len(conns)
			conns = append(conns, c)
			handling.Go(func() {
				defer c.Close()
				handle(n, c)
			})
		})
	})
	t.Cleanup(func() {
		_ = ln.Close()
		accepting.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
		handling.Wait()
	})
	return ln.Addr().String()
}

// HostPort takes an address of the loopback apart.
func HostPort(t testing.TB, addr string) (host string, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// Metrics reads the metrics that write exposes, by their names with labels.
func Metrics(t testing.TB, write func(io.Writer)) map[string]float64 {
	t.Helper()
	var text bytes.Buffer
	write(&text)
	all := make(map[string]float64)
	for line := range strings.Lines(text.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[i+1:]), 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		all[line[:i]] = v
	}
	return all
}

// Metric reads one metric by its name with labels. It must be there.
func Metric(t testing.TB, write func(io.Writer), name string) float64 {
	t.Helper()
	v, ok := Metrics(t, write)[name]
	if !ok {
		t.Fatalf("there is no metric %s", name)
	}
	return v
}

// Brief quotes s, or its ends when it is long.
func Brief(s string) string {
	if len(s) <= 400 {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q ... %q (%d octets)", s[:200], s[len(s)-150:], len(s))
}
