//go:build !race

package upstream

import (
	"crypto/tls"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

// resubmitter sends the same transaction again and again.
type resubmitter struct{ done chan struct{} }

func (resubmitter) RecipientsReplied(*Transaction)        {}
func (r resubmitter) Complete(_ *Transaction, res Result) { r.done <- struct{}{} }

// steady returns a function that relays one message over a warm connection to a
// stub that answers each read by a canned flight of replies.
func steady(t testing.TB, size int) func() {
	f := newFixture(t, nil)
	s := newStub(t, func(c *tls.Conn) {
		if !login(c, offerBDAT) {
			return
		}
		buf, replies := make([]byte, 32<<10), []byte("250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.0.0 OK\r\n")
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if _, err := c.Write(replies); err != nil {
				return
			}
		}
	})
	r := resubmitter{make(chan struct{}, 1)}
	tx := GetTransaction()
	tx.Account, tx.Done = s.account(f.accounts[0]), r
	tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: -1})
	tx.AddRcpt(codec.RcptArgs{Path: []byte("to@example.com")})
	tx.Content = content(t, strings.Repeat("x", size))
	send := func() {
		if err := f.relay.TrySubmit(tx); err != nil {
			t.Fatal(err)
		}
		<-r.done
	}
	for range 10 {
		send()
	}
	t.Cleanup(tx.Release)
	return send
}

func TestWarmMessageAllocations(t *testing.T) {
	// One for the text of the final reply, which outlives the connection's
	// buffers on its way to the client, and one of crypto/tls for each side's
	// read of a record.
	const most = 3
	if n := testing.AllocsPerRun(500, steady(t, 10<<10)); n > most {
		t.Errorf("%.1f allocations per message, want at most %d", n, most)
	}
}

func BenchmarkRelay(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"size=1KB", 1 << 10}, {"size=10KB", 10 << 10}} {
		b.Run(bm.name, func(b *testing.B) {
			send := steady(b, bm.size)
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			for b.Loop() {
				send()
			}
		})
	}
}
