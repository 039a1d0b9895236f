package server

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestAllAtOnce sends a whole dialog and ends the input, at a first login too,
// whose token is still to come.
func TestAllAtOnce(t *testing.T) {
	hello := "EHLO client.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n"
	one := "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
	two := one + "RCPT TO:<c@example.com>\r\n"
	for _, tt := range []struct {
		name, in, want string
		sent           int
	}{
		{"DATA", hello + one + "DATA\r\ntext\r\n.\r\nQUIT\r\n", "250 235 250 250 354 250 221", 1},
		{"DATA without QUIT", hello + one + "DATA\r\ntext\r\n.\r\n", "250 235 250 250 354 250", 1},
		{"DATA to two", hello + two + "DATA\r\ntext\r\n.\r\nQUIT\r\n", "250 235 250 250 250 354 250 221", 1},
		{"BDAT", hello + one + "BDAT 6 LAST\r\ntext\r\nQUIT\r\n", "250 235 250 250 250 221", 1},
		{"BDAT to two", hello + two + "BDAT 6 LAST\r\ntext\r\nQUIT\r\n", "250 235 250 250 250 250 221", 1},
		{"two messages", hello + one + "DATA\r\ntext\r\n.\r\n" + two + "BDAT 6 LAST\r\ntext\r\nQUIT\r\n",
			"250 235 250 250 354 250 250 250 250 250 221", 2},
		{"half a message after one", hello + one + "DATA\r\ntext\r\n.\r\n" + one + "DATA\r\nQUIT\r\n", "250 235 250 250 354 250 250 250 354", 1},
		{"an error before the end", hello + one + "DATA\r\ntext\r\n.\r\nBOGUS\r\nQUIT\r\n", "250 235 250 250 354 250 500 221", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, w := range ways {
				k := newSlowStack(t)
				provider.Faults(t, k.sandbox, sandbox.Rule{Name: "slow token", Phase: sandbox.PhaseToken, Action: sandbox.ActionStall,
					For: sandbox.Duration(100 * time.Millisecond)})
				c := k.dialVersion(t, w.version)
				c.Send(tt.in)
				w.end(c)
				if got := c.Codes(); got != tt.want {
					t.Errorf("%s: the client read %q, want %q", w.name, got, tt.want)
				}
				provider.Messages(t, k.sandbox, tt.sent)
				k.ended(t)
			}
		})
	}
}

// TestHalfClosedRests: a session whose client has closed its sending side does not
// keep its loop busy while it waits.
func TestHalfClosedRests(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			k := newSlowStack(t)
			provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
				For: sandbox.Duration(500 * time.Millisecond)})
			turns := func() (n uint64) {
				k.onLoops(t, func(l *eventLoop) { n += l.Callbacks() })
				return n
			}
			c := k.dialVersion(t, w.version)
			c.Cmd("EHLO client.example.com", "250")
			c.Login(gmailUser, "any")
			c.Mail("a@example.com", "b@example.com")
			c.Cmd("DATA", "354")
			c.Send("text\r\n.\r\n")
			provider.Fired(t, k.sandbox, "think", 1)
			before := turns()
			w.end(c)
			if got := c.Codes(); got != "250" {
				t.Errorf("the client read %q, want 250", got)
			}
			if n := turns() - before; n > 100 {
				t.Errorf("the loops had %d turns while the session waited", n)
			}
		})
	}
}

// dialNarrow is dialVersion with little room for what the client has not read, from
// before the system announces more.
func (k *stack) dialNarrow(t testing.TB, version uint16) *client {
	t.Helper()
	d := net.Dialer{Timeout: testkit.Patience, Control: func(_, _ string, raw syscall.RawConn) (err error) {
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10) })
		return errors.Join(cerr, err)
	}}
	conn, err := d.Dial("tcp", k.Addrs()[min(int(version), 1)].String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	if version != 0 {
		c.secure(clientConfig(version), nil)
	}
	c.Expect("220")
	return c
}

// TestManyAnswersAfterEnd has a client read its answers, more than the system
// takes at once, after it has ended its input.
func TestManyAnswersAfterEnd(t *testing.T) {
	const n = 4000
	for _, w := range ways {
		for _, last := range []string{"", "QUIT\r\n"} {
			t.Run(w.name+" "+last, func(t *testing.T) {
				t.Parallel()
				k := newStack(t, withTLS("", TLSImplicit))
				c := k.dialNarrow(t, w.version)
				k.inspect(t, func(s *session) {
					if err := unix.SetsockoptInt(s.conn.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<10); err != nil {
						t.Error(err)
					}
				})
				c.Send(strings.Repeat("NOOP\r\n", n) + last)
				w.end(c)
				testkit.Eventually(t, "answers wait", func() (wait bool) {
					k.inspect(t, func(s *session) { wait = s.ended && s.conn.Buffered() > 0 })
					return wait
				})
				want := strings.TrimSpace(strings.Repeat("250 ", n) + strings.Repeat("221", len(last)/6))
				if got := c.Codes(); got != want {
					t.Errorf("the client read %d octets of codes that end in %q, want %d", len(got), got[max(0, len(got)-8):], len(want))
				}
				k.ended(t)
			})
		}
	}
}
