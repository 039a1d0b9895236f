package server

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestClientGoneAfterEndOfData has the client end its part while the provider works
// on its message: the message arrives, once. Only a client that reset the connection
// is known to be gone; one that has closed its sending side reads the answer.
func TestClientGoneAfterEndOfData(t *testing.T) {
	for _, leave := range []struct {
		name   string
		how    func(*client)
		reads  bool
		unread float64 // answers that are known to be lost
	}{
		{"close", (*client).close, false, 0},
		{"reset", (*client).Reset, false, 1},
		{"half close", (*client).CloseWrite, true, 0},
	} {
		t.Run(leave.name, func(t *testing.T) {
			k := newStack(t)
			provider.Faults(t, k.sandbox, sandbox.Rule{Name: "think", Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall,
				For: sandbox.Duration(200 * time.Millisecond)})
			c := k.login(t, gmailUser)
			c.Mail("a@example.com", "b@example.com")
			c.Cmd("DATA", "354")
			c.Send("text\r\n.\r\n")
			provider.Fired(t, k.sandbox, "think", 1)
			leave.how(c)
			if leave.reads {
				c.Expect("250 2.0.0")
				c.ExpectEnd()
			}
			checkMessage(t, provider.Messages(t, k.sandbox, 1)[0], "a@example.com", []string{"b@example.com"}, "text\r\n")
			testkit.Eventually(t, "the session has ended, its transaction too", func() bool {
				return k.Active() == 0 && k.budget.Used() == 0 && k.back.Metric(t, "smtp_final_replies_lost_total") == leave.unread
			})
			provider.Messages(t, k.sandbox, 1)
		})
	}
}

// TestClientGoneWithinContent has the client vanish before the end of data:
// nothing arrives.
func TestClientGoneWithinContent(t *testing.T) {
	k := newStack(t)
	for _, content := range []string{
		"DATA\r\n", "DATA\r\ntext", "DATA\r\ntext\r\n.", "DATA\r\ntext\r\n.\r", "DATA\r\n" + strings.Repeat("line\r\n", 50_000),
		"BDAT 10 LAST\r\n", "BDAT 10 LAST\r\n012345678", "BDAT 4\r\n0123", "BDAT 4\r\n0123BDAT 0 LAST\r",
	} {
		for _, rcpts := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/rcpts=%d", testkit.Brief(content), rcpts), func(t *testing.T) {
				c := k.login(t, gmailUser)
				c.Mail("a@example.com", []string{"b@example.com", "c@example.com"}[:rcpts]...)
				c.Send(content)
				c.close()
				testkit.Eventually(t, "the session has ended", func() bool { return k.Active() == 0 && k.budget.Used() == 0 })
			})
		}
	}
	// The next one goes through, and is all that arrives.
	c := k.login(t, gmailUser)
	c.Mail("a@example.com", "b@example.com")
	c.Data("text\r\n", "250 2.0.0")
	checkMessage(t, provider.Messages(t, k.sandbox, 1)[0], "a@example.com", []string{"b@example.com"}, "text\r\n")
}

// TestThousandDropped opens a thousand connections and drops each at a random
// octet of a dialog, by close or reset.
func TestThousandDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand connections")
	}
	k := newStack(t)
	live := codec.LiveSegments()
	dialogs := []string{
		"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + strings.Repeat("0123456789abcde\r\n", 3000) + ".\r\nQUIT\r\n",
		"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<c@example.com>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n",
		"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 20\r\n0123456789012345678\nBDAT 0 LAST\r\nQUIT\r\n",
		"BDAT 100000\r\n" + strings.Repeat("x", 100_000),
		"NOOP " + strings.Repeat("x", 5000),
	}
	login := "EHLO client.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n"
	users := make(chan int)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			for n := range users {
				in := login + dialogs[n%len(dialogs)]
				dropAt(t, k.Addrs()[0].String(), in[:rand.IntN(len(in)+1)], n%3 == 0)
			}
		})
	}
	for n := range 1000 {
		users <- n
	}
	close(users)
	all.Wait()
	testkit.Eventually(t, "all sessions have ended", func() bool { return k.Active() == 0 })
	testkit.Eventually(t, "the budget is given back", func() bool { return k.budget.Used() == 0 })
	testkit.Eventually(t, "no segment is live", func() bool { return codec.LiveSegments() == live })
	if n := k.back.Metric(t, `smtp_connections_total{result="accepted"}`); n != 1000 {
		t.Errorf("%v connections were accepted, want 1000", n)
	}
	for _, m := range k.sandbox.Messages() {
		if m.ReversePath != "a@example.com" || m.Size == 0 {
			t.Errorf("the provider has half a message: %+v", m)
		}
	}
	c := k.login(t, gmailUser)
	c.Cmd("QUIT", "221")
}

// dropAt sends octets, hands over to the server, and drops the connection.
func dropAt(t *testing.T, addr, in string, reset bool) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	c := conn.(*net.TCPConn)
	if err := c.SetDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 512)); err != nil { // the greeting: the session is there
		t.Error(err)
	}
	_, _ = c.Write([]byte(in)) // may fail when the server has ended the session
	if reset {
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}
