package server

import (
	"net"
	"syscall"
	"testing"

	"xoauth2-proxy/upstream"
)

// failing is a listening socket whose accept fails some times first.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) == 0 {
		return f.Listener.Accept()
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: f.Addr(), Err: err}
}

// TestAcceptErrors has accept fail as it does when the system runs out of
// something: that is counted and waited out, and the next client is served.
func TestAcceptErrors(t *testing.T) {
	k := newStack(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := []error{syscall.ENOMEM, syscall.ENOBUFS, syscall.ECONNABORTED, syscall.EPERM, syscall.EPROTO, syscall.ENOMEM}
	own := &listener{srv: k.Server, ln: &failing{ln, errs}, policy: k.listeners[0].policy, sources: k.listeners[0].sources}
	own.offer.Store(k.listeners[0].offer.Load())
	k.running.Add(1)
	go own.accept()
	c := dialTo(t, ln.Addr().String())
	c.expect("220")
	c.cmd("EHLO client.example.com", "250")
	c.authenticate(gmailUser)
	c.mail("a@example.com", "b@example.com")
	c.message("text\r\n", "250 2.0.0")
	if n := k.counter(t, "smtp_accept_errors_total"); n != float64(len(errs)) {
		t.Errorf("the counter says %v, want %d", n, len(errs))
	}
	c.cmd("QUIT", "221")
	if err := ln.Close(); err != nil {
		t.Error(err)
	}
}

// full is a relay whose queue is full.
type full struct{ Relay }

func (full) TrySubmit(*upstream.Transaction) error { return upstream.ErrQueueFull }

// TestQueueFull answers what the relay cannot take: at end-of-data, at the last
// chunk, and for recipients that would go to the provider at once. The session
// goes on, and nothing is kept.
func TestQueueFull(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	c := k.login(t, gmailUser)
	k.onLoops(t, func(*loop) { k.Server.relay = full{} })
	for range 2 {
		c.mail("a@example.com", "b@example.com")
		c.message("text\r\n", "451 4.3.2")
		c.mail("a@example.com", "b@example.com")
		c.send("BDAT 6 LAST\r\ntext\r\n")
		c.expect("451 4.3.2")
		c.mail("a@example.com", "b@example.com")
		c.cmd("RCPT TO:<c@example.com>", "451 4.3.2")
		c.cmd("RSET", "250")
	}
	if n := k.budget.Used(); n != 0 {
		t.Errorf("%d octets are kept", n)
	}
	k.onLoops(t, func(*loop) { k.Server.relay = k.relay })
	c.mail("a@example.com", "b@example.com")
	c.message("text\r\n", "250 2.0.0")
	c.cmd("QUIT", "221")
	k.messages(t, 1)
}
