package listen

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:25": "tcp4", "0.0.0.0:25": "tcp4", "[::1]:25": "tcp6", "[::]:25": "tcp6", "[::ffff:127.0.0.1]:25": "tcp4", "localhost:25": "tcp", ":25": "tcp",
	} {
		if got := Network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

// TestFamilies: each of 0.0.0.0 and [::] takes its own family only, and both listen on one
// port.
func TestFamilies(t *testing.T) {
	const all4, all6, one4, one6 = "0.0.0.0", "::", "127.0.0.1", "::1"
	for _, tt := range []struct {
		listen    string
		takes, no string
	}{{all4, one4, one6}, {all6, one6, one4}} {
		open := func(host, port string) net.Listener {
			address := net.JoinHostPort(host, port)
			ln, err := net.Listen(Network(address), address)
			if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
				t.Skip("NOT TESTED: this machine has no IPv6")
			}
			if err != nil {
				t.Fatal(err)
			}
			return ln
		}
		ln := open(tt.listen, "0")
		port := strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
		c, err := net.Dial("tcp", net.JoinHostPort(tt.takes, port))
		if err != nil {
			t.Errorf("%s does not take %s: %v", tt.listen, tt.takes, err)
		} else {
			_ = c.Close()
		}
		if c, err := net.Dial("tcp", net.JoinHostPort(tt.no, port)); err == nil {
			_ = c.Close()
			t.Errorf("%s takes %s", tt.listen, tt.no)
		}
		other := all6
		if tt.listen == all6 {
			other = all4
		}
		second := open(other, port)
		_, _ = ln.Close(), second.Close()
	}
}

// exhausted is a listener whose first Accept fails.
type exhausted struct {
	net.Listener
	tried bool
}

func (e *exhausted) Accept() (net.Conn, error) {
	if !e.tried {
		e.tried = true
		return nil, syscall.EMFILE
	}
	return e.Listener.Accept()
}

// TestAccept: a failure is told and ends nothing; the end of the listener does.
func TestAccept(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var failures []error
	served := 0
	Accept(&exhausted{Listener: ln}, func(err error) { failures = append(failures, err) }, func(c net.Conn) {
		served++
		_ = c.Close()
		_ = ln.Close()
	})
	if len(failures) != 1 || !errors.Is(failures[0], syscall.EMFILE) || served != 1 {
		t.Errorf("failures %v, %d connections served", failures, served)
	}
}
