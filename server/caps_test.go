package server

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestListenerCaps caps the connections of a listener and of a source address,
// each apart, and gives the place of a session that has ended to the next.
func TestListenerCaps(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners = []Listener{{Address: "127.0.0.1:0", MaxConnections: 2}, {Address: "127.0.0.1:0", MaxPerSource: 1}, {Address: "127.0.0.1:0"}}
	}))
	first := k.dialAt(t, 0)
	first.Expect("220")
	k.dialAt(t, 0).Expect("220")
	over := k.dialAt(t, 0)
	over.Expect("421 4.7.0")
	over.ExpectEnd()
	first.Cmd("QUIT", "221")
	first.ExpectEnd()
	testkit.Eventually(t, "there is room", func() bool { return k.listeners[0].active.Load() == 1 })
	k.dialAt(t, 0).Expect("220")

	from := func(source string) *client { return dialFrom(t, source, k.Addrs()[1].String()) }
	a := from("127.0.0.1")
	a.Expect("220")
	from("127.0.0.1").Expect("421 4.7.0")
	from("127.0.0.2").Expect("220")
	k.dialAt(t, 2).Expect("220")
	a.Cmd("QUIT", "221")
	a.ExpectEnd()
	testkit.Eventually(t, "its source is forgotten", func() bool { return k.listeners[1].sources.Len() == 1 })
	from("127.0.0.1").Expect("220")
}

// TestMaxMessages ends a connection with 421 at the message above its cap.
func TestMaxMessages(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Listeners[0].MaxMessages = 2 }))
	c := k.login(t, gmailUser)
	for range 2 {
		c.Mail("a@example.com", "b@example.com")
		c.Data("text\r\n", "250 2.0.0")
	}
	c.Cmd("MAIL FROM:<a@example.com>", "421 4.7.0")
	c.ExpectEnd()
	provider.Messages(t, k.sandbox, 2)
}

// TestSessionTimeout ends sessions that are too old, however busy they are: at
// once those without a transaction, later those whose client lets a message wait.
func TestSessionTimeout(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.SessionTimeout, cfg.ContentTimeout = time.Second, 2*time.Second }))
	busy, within, dribbling := k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, plainUser)
	within.Mail("a@example.com", "b@example.com")
	within.Cmd("DATA", "354")
	dribbling.Mail("a@example.com", "b@example.com")
	dribbling.Cmd("DATA", "354")
	for got := ""; ; {
		busy.Send("NOOP\r\n")
		var err error
		if got, err = busy.Reply(); err != nil {
			t.Fatal(err)
		}
		if got[:3] == "421" {
			break
		}
	}
	within.Send("text\r\n.\r\n")
	within.Expect("250 2.0.0") // a message under way is finished
	within.Expect("421 4.4.2")
	within.ExpectEnd()
	ended := make(chan struct{})
	go func() { // never silent for long, and never done
		defer close(ended)
		for {
			if _, err := dribbling.TCP.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	dribbling.Expect("421 4.4.2")
	dribbling.ExpectEnd()
	dribbling.close()
	<-ended
	provider.Messages(t, k.sandbox, 1)
}
