package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"

	"golang.org/x/sys/unix"
)

// idleClients is how many clients TestIdleClients holds, where the process may
// have as many descriptors: two each.
const idleClients = 10_000

// TestIdleClients holds many clients that do nothing: others are served beside
// them, and so is each of them when it has something to say at last.
func TestIdleClients(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := idleClients
	if most := int(min(limit.Cur, 1<<20)-min(limit.Cur, 512)) / 2; n > most {
		t.Logf("only %d clients: the process may have %d descriptors", most, limit.Cur)
		n = most
	}
	k := newStack(t)
	idle := make([]net.Conn, n)
	t.Cleanup(func() {
		for _, c := range idle {
			if c != nil {
				_ = c.Close()
			}
		}
	})
	each := func(do func(i int) error) {
		t.Helper()
		const parallel = 16
		var group sync.WaitGroup
		errs := make([]error, parallel)
		for p := range parallel {
			group.Go(func() {
				for i := p; i < n && errs[p] == nil; i += parallel {
					errs[p] = do(i)
				}
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	read := func(c net.Conn, want string) error {
		b := make([]byte, len(want))
		if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
			return fmt.Errorf("%q, %w, want %q", b, err, want)
		}
		return nil
	}
	greeting := string(k.greeting)
	each(func(i int) (err error) {
		// From several addresses, each of which has its own ports.
		d := net.Dialer{Timeout: testkit.Patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%4))}}
		if idle[i], err = d.Dial("tcp", k.Addrs()[0].String()); err != nil {
			return err
		}
		if err := idle[i].SetDeadline(time.Now().Add(2 * testkit.Patience)); err != nil {
			return err
		}
		return read(idle[i], greeting)
	})
	if got := k.Active(); got != int64(n) {
		t.Errorf("%d sessions, want %d", got, n)
	}
	c := k.login(t, gmailUser)
	for range 10 {
		c.Mail("a@example.com", "b@example.com")
		c.Data(strings.Repeat("text\r\n", 1000), "250 2.0.0")
	}
	c.Cmd("QUIT", "221")
	each(func(i int) error {
		if _, err := io.WriteString(idle[i], "NOOP\r\n"); err != nil {
			return err
		}
		return read(idle[i], "250 2.0.0 OK\r\n")
	})
	provider.Messages(t, k.sandbox, 10)
}
