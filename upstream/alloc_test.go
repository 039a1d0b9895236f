//go:build !race

package upstream

import (
	"crypto/tls"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
)

// resubmitter sends the same transaction again and again, all on its loop.
type resubmitter struct {
	t     testing.TB
	relay *Relay
	tx    *Transaction
	body  []byte
	left  int // that are to be sent
	done  chan struct{}
}

func (r *resubmitter) RecipientsReplied(*Transaction, *loop.Loop) {}
func (r *resubmitter) Late(*Transaction)                          {}
func (r *resubmitter) Complete(_ *Transaction, on *loop.Loop) {
	if r.left--; r.left > 0 {
		on.Later(r)
	} else {
		r.done <- struct{}{}
	}
}

// Run sends it, with new content: that of before is gone once it was sent.
func (r *resubmitter) Run() {
	if r.tx.Content != nil {
		r.tx.Content.Release()
	}
	r.tx.Content = codec.NewContent(nil)
	if err := r.tx.Content.Append(r.body); err != nil {
		r.t.Error(err)
	}
	if err := r.relay.TrySubmit(r.tx); err != nil {
		r.t.Error(err)
	}
}

// newEcho starts a stub that answers each read by a canned flight of replies,
// and a relay for its accounts.
func newEcho(t testing.TB) (*fixture, *stub) {
	f := newFixture(t, nil)
	return f, newStub(t, func(c *tls.Conn) {
		if !logIn(c, offerBDAT) {
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
}

// resubmit returns a function that relays one message, the same every time, n times.
func resubmit(t testing.TB, f *fixture, a *account.Account, size int) (send func(n int), release func()) {
	tx := GetTransaction()
	r := &resubmitter{t, f.relay, tx, []byte(strings.Repeat("x", size)), 0, make(chan struct{}, 1)}
	tx.Account, tx.Done, tx.Loop = a, r, f.loop
	tx.SetMail(codec.MailArgs{Path: []byte("from@example.com"), Size: -1})
	tx.AddRcpt(codec.RcptArgs{Path: []byte("to@example.com")})
	send = func(n int) {
		r.left = n
		f.loop.Post(r)
		<-r.done
	}
	send(10)
	return send, tx.Release
}

// inUse has the accounts carry what a snapshot computes once, as accounts in use do.
func inUse(t testing.TB, accounts ...*account.Account) []*account.Account {
	t.Helper()
	if _, err := account.NewSnapshot(accounts); err != nil {
		t.Fatal(err)
	}
	return accounts
}

// mostAllocations of one message: one is its content, one the text of the final
// reply, which outlives the connection's buffers on its way to the client, and
// one of crypto/tls for each side's read of a record.
const mostAllocations = 4

func TestWarmMessageAllocations(t *testing.T) {
	f, s := newEcho(t)
	free, limited := s.account(f.accounts[0]), s.account(f.accounts[1])
	l := &limited.Limits
	l.MessagesPerMinute, l.MessagesPerHour, l.MessagesPerDay, l.RecipientsPerDay, l.LoginsPerMinute = 1e6, 1e6, 1e6, 1e6, 1e6
	for _, a := range inUse(t, free, limited) {
		send, release := resubmit(t, f, a, 10<<10)
		if n := testing.AllocsPerRun(10, func() { send(100) }) / 100; n >= mostAllocations+1 {
			t.Errorf("%s: %.1f allocations per message, want at most %d", a.ID, n, mostAllocations)
		}
		release()
	}
}

func BenchmarkRelay(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"size=1KB", 1 << 10}, {"size=10KB", 10 << 10}} {
		b.Run(bm.name, func(b *testing.B) {
			f, s := newEcho(b)
			send, release := resubmit(b, f, inUse(b, s.account(f.accounts[0]))[0], bm.size)
			defer release()
			b.SetBytes(int64(bm.size))
			b.ReportAllocs()
			b.ResetTimer()
			send(b.N)
		})
	}
}

func BenchmarkRelayParallel(b *testing.B) {
	f, s := newEcho(b)
	var accounts []*account.Account
	for i := range 20 {
		a := *f.accounts[0]
		a.ID += strconv.Itoa(i)
		a.Email = strconv.Itoa(i) + a.Email
		accounts = append(accounts, s.account(&a))
	}
	inUse(b, accounts...)
	var next atomic.Int64
	b.SetBytes(10 << 10)
	b.ReportAllocs()
	b.SetParallelism(20)
	b.RunParallel(func(pb *testing.PB) {
		send, release := resubmit(b, f, accounts[next.Add(1)%int64(len(accounts))], 10<<10)
		defer release()
		for pb.Next() {
			send(1)
		}
	})
}
