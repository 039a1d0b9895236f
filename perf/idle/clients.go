package idle

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"xoauth2-proxy/perf/lab"
)

// sources is how many source addresses the clients come from: 127.0.0.2 and on.
const sources = 8

// dial connects from one of the source addresses.
func dial(addr string, n int) (net.Conn, error) {
	return lab.Dial(addr, net.IPv4(127, 0, 0, byte(2+n%sources)))
}

// openPlain opens an idle client in clear, logged in.
func openPlain(s *stand, n int) (net.Conn, error) {
	conn, err := dial(s.Addr, n)
	if err == nil {
		_, err = lab.Open(conn, lab.Login(n%accounts))
	}
	return conn, err
}

// openTLS opens an idle client within TLS, logged in.
func openTLS(s *stand, n int) (net.Conn, error) { return openSecure(s, n, false) }

// openUsedTLS opens one that has sent a message, in records as large as can be.
func openUsedTLS(s *stand, n int) (net.Conn, error) { return openSecure(s, n, true) }

// openSecure returns the connection below TLS.
func openSecure(s *stand, n int, used bool) (net.Conn, error) {
	raw, err := dial(s.secure, n)
	if err != nil {
		return nil, err
	}
	// The certificate is this program's own, made for this run.
	c, err := lab.Open(tls.Client(raw, &tls.Config{InsecureSkipVerify: true}), lab.Login(n%accounts))
	if err == nil && used {
		if err = c.Envelope(1); err == nil {
			_, err = c.Data("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100<<10/72))
		}
	}
	return raw, err
}

// A clientList is the clients that are held open.
type clientList []net.Conn

// open opens the clients from..to, some at a time.
func (all *clientList) open(s *stand, from, to int, open func(*stand, int) (net.Conn, error)) {
	const parallel = 32
	conns := make([]net.Conn, to-from)
	errs := make([]error, to-from)
	var group sync.WaitGroup
	for worker := range parallel {
		group.Go(func() {
			for i := worker; i < len(conns); i += parallel {
				conns[i], errs[i] = open(s, from+i)
			}
		})
	}
	group.Wait()
	*all = append(*all, conns...)
	lab.Check(errors.Join(errs...))
}

// lost counts the clients that the proxy has closed.
func (all clientList) lost() (n int) {
	for _, conn := range all {
		err := conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			n++
		}
	}
	return n
}

func (all clientList) close() {
	for _, conn := range all {
		if conn != nil { // it could be opened
			_ = conn.Close()
		}
	}
}

// startSlow connects slow clients, each of which sends an octet of a command per
// drip, and connects again when it is closed. The function that it returns ends them.
func startSlow(addr string, clients int, drip time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for n := range clients {
		conn := lab.Must(dial(addr, n))
		group.Go(func() {
			time.Sleep(drip * time.Duration(n) / time.Duration(clients)) // not all at once
			each := time.NewTicker(drip)
			defer each.Stop()
			for ctx.Err() == nil {
				if _, err := conn.Write([]byte("x")); err != nil {
					_ = conn.Close()
					if again, err := dial(addr, n); err == nil {
						conn = again
					}
				}
				select {
				case <-ctx.Done():
				case <-each.C:
				}
			}
			_ = conn.Close()
		})
	}
	return func() {
		cancel()
		group.Wait()
	}
}
