package main

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// sources is how many source addresses the clients come from: 127.0.0.2 and on.
const sources = 8

// patience bounds every wait.
const patience = 30 * time.Second

// dial connects from one of the source addresses.
func dial(addr string, n int) (net.Conn, error) {
	d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+n%sources))}}
	return d.Dial("tcp", addr)
}

// talk reads the greeting, then sends each line and waits for its reply.
func talk(c net.Conn, lines ...string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(c, 512)
	for i := -1; i < len(lines); i++ {
		if i >= 0 {
			if _, err := io.WriteString(c, lines[i]+"\r\n"); err != nil {
				return err
			}
		}
		for more := true; more; {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			if line[0] != '2' && line[0] != '3' {
				return fmt.Errorf("the proxy said %q", line)
			}
			more = len(line) > 3 && line[3] == '-'
		}
	}
	return c.SetDeadline(time.Time{})
}

// login is the lines that log client n in, by one of the sandbox's accounts at
// Gmail: user@, user2@ and so on.
func login(n int) []string {
	user := "user@gmail.com"
	if n %= accounts / 2; n > 0 {
		user = fmt.Sprintf("user%d@gmail.com", n+1)
	}
	return []string{"EHLO idle.example.com", "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00placeholder"))}
}

// openPlain opens an idle client in clear, logged in.
func openPlain(s *stand, n int) (io.Closer, error) {
	c, err := dial(s.Proxy.Addr, n)
	if err != nil {
		return nil, err
	}
	return c, talk(c, login(n)...)
}

// openTLS opens an idle client within TLS, logged in.
func openTLS(s *stand, n int) (io.Closer, error) { return openSecure(s, n) }

// openUsedTLS opens one that has sent a message, in records as large as can be.
func openUsedTLS(s *stand, n int) (io.Closer, error) {
	return openSecure(s, n, "MAIL FROM:<a@example.com>", "RCPT TO:<b@example.com>", "DATA",
		"Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100<<10/72)+".")
}

func openSecure(s *stand, n int, lines ...string) (io.Closer, error) {
	raw, err := dial(s.secure, n)
	if err != nil {
		return nil, err
	}
	// The certificate is this program's own, made for this run.
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	return raw, talk(c, append(login(n), lines...)...)
}

// closers are the clients that are held open.
type closers []io.Closer

// open opens the clients from..to, some at a time.
func (all *closers) open(s *stand, from, to int, open func(*stand, int) (io.Closer, error)) error {
	const parallel = 32
	var mu sync.Mutex // guards all and errs
	var errs []error
	var group sync.WaitGroup
	for worker := range parallel {
		group.Go(func() {
			for n := from + worker; n < to; n += parallel {
				c, err := open(s, n)
				mu.Lock()
				if c != nil {
					*all = append(*all, c)
				}
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// lost counts the clients that the proxy has closed.
func (all closers) lost() (n int) {
	for _, c := range all {
		conn := c.(net.Conn)
		if conn.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
			n++
			continue
		}
		var b [1]byte
		if _, err := conn.Read(b[:]); err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				n++
			}
		}
	}
	return n
}

// Close closes them.
func (all closers) Close() error {
	for _, c := range all {
		_ = c.Close() // nothing is left to be said
	}
	return nil
}

// A crowd is slow clients.
type crowd struct {
	conns []net.Conn
	done  chan struct{}
	group sync.WaitGroup
}

// startSlow connects slow clients, each of which sends an octet of a command per
// drip, and connects again when it is closed.
func startSlow(addr string, clients int, drip time.Duration) (*crowd, error) {
	c := &crowd{done: make(chan struct{})}
	for n := range clients {
		conn, err := dial(addr, n)
		if err != nil {
			c.stop()
			return nil, err
		}
		c.conns = append(c.conns, conn)
	}
	if clients == 0 {
		return c, nil
	}
	c.group.Go(func() {
		each := time.NewTicker(max(drip/time.Duration(clients), time.Millisecond))
		defer each.Stop()
		due := 0.0
		last := time.Now()
		for n := 0; ; {
			select {
			case <-c.done:
				return
			case now := <-each.C:
				due += float64(clients) * float64(now.Sub(last)) / float64(drip)
				last = now
			}
			for ; due >= 1; due-- {
				if _, err := c.conns[n].Write([]byte("x")); err != nil {
					_ = c.conns[n].Close()
					if conn, err := dial(addr, n); err == nil {
						c.conns[n] = conn
					}
				}
				n = (n + 1) % clients
			}
		}
	})
	return c, nil
}

func (c *crowd) stop() {
	close(c.done)
	c.group.Wait()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}
