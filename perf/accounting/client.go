package accounting

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// mostRecipients is how many recipients a message has at most.
const mostRecipients = 4

// client is one SMTP client, which logs in as another account now and then.
type client struct {
	*lab.Client // nil: it is not connected
	account     int
	left        int // messages before it logs in as another one
}

func (c *client) end() {
	if c.Client != nil {
		c.Close()
		c.Client = nil
	}
}

// message sends message n, and notes what it is told.
func (r *run) message(c *client, n int, random *rand.Rand) {
	for tries := 0; c.Client == nil; tries++ {
		if tries == 100 {
			lab.Failf("no account can log in")
		}
		c.account, c.left = random.IntN(len(r.logins)), 1+random.IntN(20)
		if conn, err := lab.Dial(r.stand.Addr, nil); err == nil {
			c.Client, _ = lab.Open(conn, r.logins[c.account])
		}
	}
	l := r.ledger
	l.begin(n, c.account)
	usable := r.envelope(c, n, random)
	if c.left--; !usable || c.left <= 0 {
		c.end()
	}
}

// envelope sends the message. It reports whether the connection can carry another one.
func (r *run) envelope(c *client, n int, random *rand.Rand) (usable bool) {
	l := r.ledger
	err := c.Ask(fmt.Sprintf("MAIL FROM:<%d@sender.test>", n), '2')
	if err != nil {
		l.told(n, ofEnvelope, err)
		return isUsable(err)
	}
	var taken []int // recipients
	for i := range 1 + random.IntN(mostRecipients) {
		switch err := c.Ask(fmt.Sprintf("RCPT TO:<%d@recipient.test>", i), '2'); {
		case err == nil:
			taken = append(taken, i)
		default:
			if l.told(n, i, err); !isUsable(err) {
				return false
			}
		}
	}
	if taken == nil {
		return c.Ask("RSET", '2') == nil
	}
	content := r.content(n, c.account, random)
	if random.IntN(2) == 0 {
		err = c.Ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), strings.TrimSuffix(content, "\r\n")), '2')
	} else {
		_, err = c.Data(content)
	}
	for _, i := range taken {
		l.told(n, i, err)
	}
	return isUsable(err) && (err == nil || c.Ask("RSET", '2') == nil)
}

// content is what the provider proves the message by.
func (r *run) content(n, account int, random *rand.Rand) string {
	body := strings.Repeat(fmt.Sprintf("message %d\r\n", n), 1+random.IntN(200))
	return fmt.Sprintf("From: <%d@sender.test>\r\nMessage-ID: <%d@accounting.test>\r\n%s%s/%d\r\n%s%s\r\n%s%s\r\n\r\n%s", n, n,
		sandbox.HeaderLoadID, name, n, sandbox.HeaderLoadAccount, r.logins[account], sandbox.HeaderLoadSum, sandbox.LoadSum([]byte(body)), body)
}

// isUsable reports whether the connection goes on after err.
func isUsable(err error) bool {
	refusal, ok := errors.AsType[lab.Refusal](err)
	return err == nil || ok && !refusal.Closing()
}
