package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
)

// replyTimeout is how long a client waits for any reply: longer than the proxy
// may take for a message.
const replyTimeout = 30 * time.Second

// sender is one SMTP client.
type sender struct {
	conn  net.Conn
	r     *bufio.Reader
	login string
}

// open connects from an address of its own, as the server counts failed logins
// by address, and logs in. An error that is a reply is a refusal.
func open(addr, login string, random *rand.Rand) (*sender, error) {
	from := net.TCPAddr{IP: net.IPv4(127, byte(random.IntN(256)), byte(random.IntN(256)), byte(2+random.IntN(250)))}
	d := net.Dialer{Timeout: replyTimeout, LocalAddr: &from}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sender{conn: conn, r: bufio.NewReader(conn), login: login}
	for _, command := range []string{"", "EHLO soak.test\r\n", "AUTH PLAIN " + string(codec.AppendBase64(nil, []byte("\x00"+login+"\x00any"))) + "\r\n"} {
		if _, err := s.ask(command, '2'); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return s, nil
}

// refusal is a reply that is not of the kind that was hoped for.
type refusal string

func (r refusal) Error() string { return string(r) }

// ask sends a command and reads its reply, of the class given.
func (s *sender) ask(command string, class byte) (string, error) {
	if err := s.conn.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(s.conn, command); err != nil {
		return "", err
	}
	for {
		line, err := s.r.ReadString('\n')
		switch {
		case err != nil:
			return "", err
		case len(line) < 4:
			return "", fmt.Errorf("%q is no line of a reply", line)
		case line[3] == '-':
			continue
		case line[0] != class:
			return "", refusal(strings.TrimSpace(line))
		}
		return line, nil
	}
}

// send hands over message number n of a run. It reports what became of it, and
// whether the connection is of use still.
func (s *sender) send(run string, n, size, rcpts int, bdat bool) (fate, bool) {
	became, err := s.deliver(run, n, size, rcpts, bdat)
	return became, err == nil || usable(err)
}

// deliver is send with the error of the last command. After a refusal the connection
// is ready for the next message.
func (s *sender) deliver(run string, n, size, rcpts int, bdat bool) (fate, error) {
	head := fmt.Sprintf("From: <soak@soak.test>\r\nSubject: soak\r\n%s%s/%d\r\n%s%s\r\n", sandbox.HeaderLoadID, run, n,
		sandbox.HeaderLoadAccount, s.login)
	body := strings.Repeat(fmt.Sprintf(". message %d of run %s\r\n", n, run), 1+size/24)
	content := head + sandbox.HeaderLoadSum + sandbox.LoadSum([]byte(body)) + "\r\n\r\n" + body
	_, err := s.ask("MAIL FROM:<soak@soak.test>\r\n", '2')
	for i := 0; i < rcpts && err == nil; i++ {
		_, err = s.ask(fmt.Sprintf("RCPT TO:<r%d@soak.test>\r\n", i), '2')
	}
	if err == nil && !bdat {
		_, err = s.ask("DATA\r\n", '3')
	}
	if err != nil {
		return fateOf(err, false), s.reset(err)
	}
	if bdat {
		_, err = s.ask(fmt.Sprintf("BDAT %d LAST\r\n%s", len(content), content), '2')
	} else {
		_, err = s.ask(strings.ReplaceAll(content, "\n.", "\n..")+".\r\n", '2')
	}
	return fateOf(err, true), err
}

// reset ends a transaction that was refused in its envelope by err, and returns that,
// or why it could not.
func (s *sender) reset(err error) error {
	if usable(err) {
		if _, failed := s.ask("RSET\r\n", '2'); failed != nil {
			return errors.Join(err, failed)
		}
	}
	return err
}

// usable reports whether the connection goes on after err.
func usable(err error) bool {
	r, ok := err.(refusal)
	return ok && !strings.HasPrefix(string(r), "421")
}

// work sends until ctx ends.
func (r *soak) work(ctx context.Context, random *rand.Rand) {
	var s *sender
	defer func() {
		if s != nil {
			s.conn.Close()
		}
	}()
	for left := 0; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			return
		case <-r.pace:
		}
		r.quiet.RLock()
		if s == nil {
			left = 1 + random.IntN(30)
			var err error
			if s, err = open(r.stand.addr, r.stand.logins[random.IntN(len(r.stand.logins))], random); err != nil {
				s = nil
				r.ledger.noLogin()
			}
		}
		if s != nil {
			n := r.ledger.number()
			became, ok := s.send(r.ledger.run, n, random.IntN(20<<10), 1+random.IntN(3)*random.IntN(2), random.IntN(2) == 0)
			r.ledger.enter(n, became)
			if left--; !ok || left == 0 {
				s.conn.Close()
				s = nil
			}
		}
		r.quiet.RUnlock()
	}
}
