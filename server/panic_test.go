package server

import "testing"

// panicky is a relay with a fault of its own: it panics on the loop.
type panicky struct{ Relay }

// TestPanicClosesOneSession has a session panic. It is closed, and counted; the
// others on its loop go on.
func TestPanicClosesOneSession(t *testing.T) {
	k := newStack(t, config(func(cfg *Config) { cfg.Loops = 1 }))
	other := k.login(t, outlookUser)
	other.mail("a@example.com", "b@example.com")
	c := k.login(t, gmailUser)
	c.mail("a@example.com", "b@example.com")
	k.onLoops(t, func(*loop) { k.Server.relay = panicky{} }) // every call of it dereferences nil
	c.cmd("DATA", "354")
	c.send("text\r\n.\r\n")
	c.expectEnd()
	k.onLoops(t, func(*loop) { k.Server.relay = k.relay })
	other.message("text\r\n", "250 2.0.0")
	other.cmd("QUIT", "221")
	if n := k.counter(t, "smtp_session_panics_total"); n != 1 {
		t.Errorf("the counter says %v", n)
	}
	k.messages(t, 1)
	k.metrics.panics.Dec() // was expected
}
