package server

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"reflect"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// keptRecord is the most that a connection may hold of a record that has not
// come whole, in octets.
const keptRecord = 1024

// held is what the sessions' connections hold to read into, in octets: the most
// of any, when all of the sessions are established.
func (k *stack) held(t testing.TB, sessions int) (most int) {
	t.Helper()
	found := 0
	k.onLoops(t, func(l *eventLoop) {
		for s := range l.sessions {
			if s.conn.TLSState() == nil {
				continue
			}
			found++
			layer := reflect.ValueOf(s.conn).Elem().FieldByName("tls").Elem()
			size := layer.FieldByName("wire").FieldByName("in").Cap()
			for _, field := range []string{"rawInput", "hand"} {
				size += layer.FieldByName("conn").Elem().FieldByName(field).FieldByName("buf").Cap()
			}
			most = max(most, size)
		}
	})
	if found != sessions {
		t.Fatalf("%d sessions are established, want %d", found, sessions)
	}
	return most
}

// TestTLSMemoryIsGivenBack looks at what an idle session holds: nothing to read
// into, whatever it has received before, and little while part of a record is
// there.
func TestTLSMemoryIsGivenBack(t *testing.T) {
	k := newStack(t, withTLS(TLSImplicit, TLSOffered))
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100<<10/72)
	for name, version := range tlsVersions {
		for listener := range 2 {
			t.Run(fmt.Sprintf("version=%s/listener=%d", name, listener), func(t *testing.T) {
				idle := func(when string, most int) {
					t.Helper()
					if n := k.held(t, 1); n > most {
						t.Errorf("%s: %d octets are held, want at most %d", when, n, most)
					}
				}
				c := k.dialAt(t, listener)
				below := &halting{Conn: c.TCP}
				if listener == 0 {
					c.secure(clientConfig(version), below)
					c.Expect("220")
					idle("after the handshake", 0)
					c.Cmd("EHLO client.example.com", "250")
				} else {
					c.starttls(clientConfig(version), below)
				}
				idle("after EHLO", 0)
				c.Login(gmailUser, "any")
				for range 2 {
					c.Mail("a@example.com", "b@example.com")
					c.Data(body, "250 2.0.0")
					idle("after a message of 100 KB", 0)
				}
				below.halt = true
				c.Send("NOOP\r\n")
				testkit.Eventually(t, "part of a record is there", func() bool { return k.held(t, 1) > 0 })
				idle("with part of a record", keptRecord)
				if _, err := c.TCP.Write(below.kept); err != nil {
					t.Fatal(err)
				}
				below.halt = false
				c.Expect("250")
				idle("once it is whole", 0)
				c.Cmd("QUIT", "221")
				c.ExpectEnd()
				c.close()
				testkit.Eventually(t, "it has gone", func() bool { return k.Active() == 0 })
			})
		}
	}
}

// halting sends only the first octets of what is written, once it is told so,
// and keeps the rest.
type halting struct {
	net.Conn
	halt bool
	kept []byte
}

// first is more than the header of a record, and less than any.
const first = 5 + 2

func (h *halting) Write(b []byte) (int, error) {
	if !h.halt {
		return h.Conn.Write(b)
	}
	h.kept = append(h.kept, b[first:]...)
	_, err := h.Conn.Write(b[:first])
	return len(b), err
}

// chopped writes in pieces of any length.
type chopped struct {
	net.Conn
	random *rand.Rand
}

func (c chopped) Write(b []byte) (written int, err error) {
	for written < len(b) && err == nil {
		var n int
		n, err = c.Conn.Write(b[written:min(len(b), written+1+c.random.IntN(9000))])
		written += n
	}
	return written, err
}

// deliver sends a message in one write and gives the last reply.
func (c *client) deliver(from, body string) (got string, err error) {
	_, err = fmt.Fprintf(c.Conn, "MAIL FROM:<%s>\r\nRCPT TO:<b@example.com>\r\nBDAT %d LAST\r\n%s", from, len(body), body)
	for range 3 {
		if err == nil {
			got, err = c.Reply()
		}
	}
	return got, err
}

// TestTLSMemoryIsNotShared has many sessions of one loop receive content at one
// time, in records that come in pieces: each lends the same buffers, and none
// reads what is another's.
func TestTLSMemoryIsNotShared(t *testing.T) {
	const clients, messages = 8, 4
	k := newStack(t, withTLS(TLSImplicit), config(func(cfg *Config) { cfg.Loops = 1 }))
	want := make(map[string]string)
	bodies := make([]string, clients)
	for i := range bodies {
		bodies[i] = strings.Repeat(strings.Repeat(string(rune('a'+i)), 70)+"\r\n", 100<<10/72)
		want[fmt.Sprintf("from%d@example.com", i)] = bodies[i]
	}
	var group sync.WaitGroup
	for i := range clients {
		c := k.dial(t)
		version := []uint16{tls.VersionTLS12, tls.VersionTLS13}[i%2]
		c.secure(clientConfig(version), chopped{c.TCP, rand.New(rand.NewPCG(1, uint64(i)))})
		c.Expect("220")
		c.Cmd("EHLO client.example.com", "250")
		c.Login(testUsers[i%2], "any")
		group.Go(func() {
			for range messages {
				if got, err := c.deliver(fmt.Sprintf("from%d@example.com", i), bodies[i]); err != nil || !strings.HasPrefix(got, "250 2.0.0") {
					t.Errorf("client %d: %q, %v", i, got, err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := k.held(t, clients); n > 0 {
		t.Errorf("%d octets are held", n)
	}
	for _, m := range provider.Messages(t, k.sandbox, clients*messages) {
		checkMessage(t, m, m.ReversePath, []string{"b@example.com"}, want[m.ReversePath])
	}
}
