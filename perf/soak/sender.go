package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// open logs in from an address of its own, as the server counts failed logins by
// address.
func open(addr, login string, random *rand.Rand) (*lab.Client, error) {
	conn, err := lab.Dial(addr, net.IPv4(127, byte(random.IntN(256)), byte(random.IntN(256)), byte(2+random.IntN(250))))
	if err != nil {
		return nil, err
	}
	return lab.Open(conn, login)
}

// A message is one that the provider can tell from all others.
type message struct {
	run        string // of the ledger
	number     int    // in the run
	login      string
	octets     int
	recipients int
	bdat       bool
}

// content is what the provider proves the message by.
func (m message) content() string {
	body := strings.Repeat(fmt.Sprintf(". message %d of run %s\r\n", m.number, m.run), 1+m.octets/24)
	return fmt.Sprintf("From: <soak@soak.test>\r\nSubject: soak\r\n%s%s/%d\r\n%s%s\r\n%s%s\r\n\r\n%s", sandbox.HeaderLoadID, m.run, m.number,
		sandbox.HeaderLoadAccount, m.login, sandbox.HeaderLoadSum, sandbox.LoadSum([]byte(body)), body)
}

// send hands over a message. It reports what became of it, and the error of the last
// command. After a refusal the connection is ready for the next message.
func (m message) send(c *lab.Client) (fate, error) {
	err, ended := c.Envelope(m.recipients), false
	switch {
	case err != nil:
	case m.bdat:
		content := m.content()
		ended, err = true, c.Ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), strings.TrimSuffix(content, "\r\n")), '2')
	default:
		ended, err = c.Data(m.content())
	}
	if !ended && usable(err) {
		if failed := c.Ask("RSET", '2'); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	return fateOf(err, ended), err
}

// randomSize is the size of a message in octets: one of 50 has up to 5 MiB.
func randomSize(random *rand.Rand) int {
	if random.IntN(50) == 0 {
		return random.IntN(5 << 20)
	}
	return random.IntN(20 << 10)
}

// usable reports whether the connection goes on after err.
func usable(err error) bool {
	r, ok := errors.AsType[lab.Refusal](err)
	return err == nil || ok && !r.Closing()
}

// work sends until ctx ends.
func (r *soak) work(ctx context.Context, random *rand.Rand) {
	var c *lab.Client
	var login string
	for left := 0; ; {
		select {
		case <-ctx.Done():
			if c != nil {
				c.Close()
			}
			return
		case <-r.pace.C:
		}
		r.quiet.RLock()
		if c == nil {
			left, login = 1+random.IntN(30), r.stand.logins[random.IntN(len(r.stand.logins))]
			var err error
			if c, err = open([]string{r.stand.Addr, r.stand.entrance}[random.IntN(2)], login, random); err != nil {
				r.ledger.noLogin()
			}
		}
		if c != nil {
			m := message{r.ledger.run, r.ledger.number(), login, randomSize(random), 1 + random.IntN(3)*random.IntN(2), random.IntN(2) == 0}
			became, err := m.send(c)
			r.ledger.enter(m.number, became)
			if left--; !usable(err) || left == 0 {
				c.Close()
				c = nil
			}
		}
		r.quiet.RUnlock()
	}
}
