package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/codec"
)

// prober sends messages one after the other beside the load, and measures how
// long each answer takes.
type prober struct {
	stand    *stand
	conn     net.Conn
	r        *bufio.Reader
	account  int
	refused  []float64 // milliseconds to each refusal
	accepted int
	most     float64 // memory of the proxy, octets
}

// probeInterval keeps the probes from being a load of their own.
const probeInterval = 20 * time.Millisecond

// run probes until stop is closed.
func (p *prober) run(stop <-chan struct{}) error {
	t := time.NewTicker(probeInterval)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-t.C:
		}
		if n%50 == 0 {
			resident, err := p.stand.resident()
			if err != nil {
				return err
			}
			p.most = max(p.most, resident)
		}
		took, ok, err := p.message()
		switch {
		case err != nil:
			return err
		case ok:
			p.accepted++
		default:
			p.refused = append(p.refused, took.Seconds()*1000)
		}
	}
}

// normal is the median of what a message takes without load.
func (p *prober) normal() (time.Duration, error) {
	var all []time.Duration
	for range 20 {
		took, ok, err := p.message()
		if err != nil || !ok {
			return 0, errors.Join(err, errors.New("a message without load was not accepted"))
		}
		all = append(all, took)
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}

// recovered is how many messages in a row must be as quick as without load.
const recovered = 5

// until returns how long after since messages took no more than twice what is
// normal.
func (p *prober) until(normal time.Duration, since time.Time) (time.Duration, error) {
	for good := 0; good < recovered; {
		took, ok, err := p.message()
		if err != nil {
			return 0, err
		}
		if good++; !ok || took > 2*normal {
			good = 0
		}
		if time.Since(since) > time.Minute {
			return 0, errors.New("not normal a minute after the load")
		}
	}
	return time.Since(since), nil
}

// message sends one message. A refusal at any command counts from its MAIL.
func (p *prober) message() (took time.Duration, ok bool, err error) {
	if p.conn == nil {
		if err := p.open(); err != nil {
			return 0, false, err
		}
	}
	start := time.Now()
	for _, command := range []string{"MAIL FROM:<probe@bench.test>\r\n", "RCPT TO:<rcpt@bench.test>\r\n", "DATA\r\n",
		"Subject: probe\r\n\r\nHello\r\n.\r\n"} {
		reply, err := p.ask(command)
		if err != nil {
			return 0, false, err
		}
		if reply[0] >= '4' {
			took = time.Since(start)
			if strings.HasPrefix(reply, "421") {
				p.conn.Close()
				p.conn = nil
			} else if _, err := p.ask("RSET\r\n"); err != nil {
				return 0, false, err
			}
			return took, false, nil
		}
	}
	return time.Since(start), true, nil
}

// open logs in as one account after the other.
func (p *prober) open() (err error) {
	if p.conn, err = net.DialTimeout("tcp", p.stand.Addr, 10*time.Second); err != nil {
		return err
	}
	p.r = bufio.NewReader(p.conn)
	login := fmt.Sprintf("\x00user%d@bench.test\x00any", p.account%p.stand.accounts)
	p.account++
	for _, command := range []string{"", "EHLO bench.test\r\n", "AUTH PLAIN " + string(codec.AppendBase64(nil, []byte(login))) + "\r\n"} {
		reply, err := p.ask(command)
		if err != nil {
			return err
		}
		if reply[0] != '2' {
			return fmt.Errorf("the prober cannot log in: %s", reply)
		}
	}
	return nil
}

// ask sends a command and returns the last line of the reply.
func (p *prober) ask(command string) (string, error) {
	if err := p.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(p.conn, command); err != nil {
		return "", err
	}
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(line) > 3 && line[3] != '-' {
			return line, nil
		}
	}
}

// quantile of values, 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(q*float64(len(sorted)-1))]
}
