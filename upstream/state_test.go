//go:build linux

package upstream

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lookedLoop is a loop that has asked for what has come in at some time.
type lookedLoop struct {
	Loop
	at time.Time
}

func (l lookedLoop) Polled() time.Time { return l.at }

// lookedSocket has a descriptor.
type lookedSocket struct {
	Socket
	fd int
}

func (s lookedSocket) FD() int { return s.fd }

// TestState: input that has come shows unless the loop has asked for input just
// now, behind the last message and since it has watched the connection.
func TestState(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	if _, err := unix.Write(fds[1], []byte("421\r\n")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, x := range map[string]struct {
		asked, used, since time.Duration // ago
		first              bool
		want               freshness
	}{
		"asked just now":                {asked: recent / 2, used: recent, since: time.Hour, want: usable},
		"asked too long ago":            {asked: 2 * recent, used: 3 * recent, since: time.Hour, want: pending},
		"asked before the last message": {asked: recent / 2, used: recent / 4, since: time.Hour, want: pending},
		"watched since that":            {asked: recent / 2, used: time.Hour, since: recent / 4, want: pending},
		"no message yet":                {asked: recent / 2, used: recent, since: time.Hour, first: true, want: pending},
	} {
		t.Run(name, func(t *testing.T) {
			c := &conn{wire: &wire{driven: true, socket: lookedSocket{fd: fds[0]}}, loop: lookedLoop{at: ago(x.asked)},
				reused: !x.first, lastUsed: ago(x.used), driven: driven{since: ago(x.since)}}
			c.initPeek()
			if got := c.state(now); got != x.want {
				t.Errorf("state %d, want %d", got, x.want)
			}
		})
	}
}
