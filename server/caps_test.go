package server

import (
	"testing"
	"time"
)

// TestListenerCaps caps the connections of a listener and of a source address,
// each apart, and gives the place of a session that has ended to the next.
func TestListenerCaps(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) {
		cfg.Listeners = []Listener{{Address: "127.0.0.1:0", MaxConnections: 2}, {Address: "127.0.0.1:0", MaxPerSource: 1}, {Address: "127.0.0.1:0"}}
	}))
	first := k.dialAt(t, 0)
	first.expect("220")
	k.dialAt(t, 0).expect("220")
	over := k.dialAt(t, 0)
	over.expect("421 4.7.0")
	over.expectEnd()
	first.cmd("QUIT", "221")
	first.expectEnd()
	eventually(t, "there is room", func() bool { return k.listeners[0].active.Load() == 1 })
	k.dialAt(t, 0).expect("220")

	from := func(source string) *client { return dialFrom(t, source, k.Addrs()[1].String()) }
	a := from("127.0.0.1")
	a.expect("220")
	from("127.0.0.1").expect("421 4.7.0")
	from("127.0.0.2").expect("220")
	k.dialAt(t, 2).expect("220")
	a.cmd("QUIT", "221")
	a.expectEnd()
	eventually(t, "its source is forgotten", func() bool { return k.listeners[1].sources.Len() == 1 })
	from("127.0.0.1").expect("220")
}

// TestMaxMessages ends a connection with 421 at the message above its cap.
func TestMaxMessages(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Listeners[0].MaxMessages = 2 }))
	c := k.login(t, gmailUser)
	for range 2 {
		c.mail("a@example.com", "b@example.com")
		c.message("text\r\n", "250 2.0.0")
	}
	c.cmd("MAIL FROM:<a@example.com>", "421 4.7.0")
	c.expectEnd()
	k.messages(t, 2)
}

// TestSessionTimeout ends sessions that are too old, however busy they are: at
// once those without a transaction, later those whose client lets a message wait.
func TestSessionTimeout(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.SessionTimeout, cfg.ContentTimeout = time.Second, 2*time.Second }))
	busy, within, dribbling := k.login(t, gmailUser), k.login(t, gmailUser), k.login(t, plainUser)
	within.mail("a@example.com", "b@example.com")
	within.cmd("DATA", "354")
	dribbling.mail("a@example.com", "b@example.com")
	dribbling.cmd("DATA", "354")
	for got := ""; ; {
		busy.send("NOOP\r\n")
		var err error
		if got, err = busy.reply(); err != nil {
			t.Fatal(err)
		}
		if got[:3] == "421" {
			break
		}
	}
	within.send("text\r\n.\r\n")
	within.expect("250 2.0.0") // a message under way is finished
	within.expect("421 4.4.2")
	within.expectEnd()
	ended := make(chan struct{})
	go func() { // never silent for long, and never done
		defer close(ended)
		for {
			if _, err := dribbling.conn.Write([]byte("x")); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	}()
	dribbling.expect("421 4.4.2")
	dribbling.expectEnd()
	dribbling.close()
	<-ended
	k.messages(t, 1)
}
