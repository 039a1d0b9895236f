package peer

import (
	"context"
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "smtp.example|a@example.org"

// process is the pool of one process, with one mailbox.
type process struct {
	*Sharing
	box share.Mailbox
}

func newProcess(t *testing.T, limits [share.NumKinds]int) *process {
	t.Helper()
	p := &process{Sharing: &Sharing{Switch: NewSwitch(), Name: "host", Version: "test", Log: zap.NewNop()}}
	p.box = p.Join(key, func() {})
	p.box.Limit(3, limits)
	t.Cleanup(p.Close)
	return p
}

// kinds are those that a message takes.
var kinds = []share.Kind{share.MessagesPerMinute, share.MessagesPerHour, share.MessagesPerDay, share.RecipientsPerDay}

// take begins a message.
func (p *process) take() bool {
	for i, k := range kinds {
		if !p.box.Take(k) {
			for _, k := range kinds[:i] {
				p.box.Settle(k, 1, 0)
			}
			return false
		}
	}
	return true
}

// settle ends a message that the provider has taken.
func (p *process) settle() {
	for _, k := range kinds {
		p.box.Settle(k, 1, 1)
	}
}

// send sends as many messages as it may, up to most.
func (p *process) send(most int) (n int) {
	for ; n < most && p.take(); n++ {
		p.settle()
	}
	return n
}

func (p *process) want(n int) {
	for _, k := range kinds {
		if k == share.RecipientsPerDay { // of one message
			n = min(n, 1)
		}
		p.box.Want(k, n)
	}
}

func timely(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// pair has two processes share.
func pair(t *testing.T, old, next *process) {
	t.Helper()
	sock, err := old.Host(timely(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Use(timely(t), sock); err != nil {
		t.Fatal(err)
	}
}

// TestLimitHoldsOverTheUpgrade has a limit on messages, of each kind, that the old process has
// used in part, with messages under way: whoever ends, and however, both together never send
// more than the limit.
func TestLimitHoldsOverTheUpgrade(t *testing.T) {
	const limit, before, sent, running = 200, 20, 100, 2
	for _, kind := range kinds {
		for _, end := range []string{"the old process ends", "the old process is killed", "the new process is killed"} {
			t.Run(kindName(kind)+": "+end, func(t *testing.T) {
				var limits [share.NumKinds]int
				limits[kind] = limit
				old, next := newProcess(t, limits), newProcess(t, limits)
				total := sent
				if byHour(kind) {
					total += before
					h := share.Hour{Number: time.Now().Unix() / 3600, Messages: before, Recipients: before}
					old.box.Restore(h)
					next.box.Restore(h)
				}
				if n := old.send(sent); n != sent {
					t.Fatalf("alone, %d were sent", n)
				}
				for range running {
					old.take()
				}
				pair(t, old, next)
				next.want(limit)
				of := 0
				testkit.Eventually(t, "the new process sends", func() bool {
					of += next.send(10 - of)
					return of == 10
				})
				for range running {
					old.settle()
				}
				total += of + running
				old.want(limit)
				testkit.Eventually(t, "the old process sends too", func() bool { return old.take() })
				old.settle()
				total++
				old.want(0)
				next.want(0)
				lives := next
				switch end {
				case "the old process ends":
					if err := old.Finish(timely(t)); err != nil {
						t.Fatal(err)
					}
					old.Close()
				case "the old process is killed":
					_ = old.service.link.Close()
				default:
					next.Close()
					old.Alone()
					lives = old
				}
				testkit.Eventually(t, "it is alone", func() bool { store, _ := lives.Store(); return store == nil })
				rest := lives.send(limit)
				if total+rest > limit {
					t.Errorf("%d and %d more were sent", total, rest)
				}
				if end == "the old process ends" && total+rest != limit {
					t.Errorf("%d and %d more were sent, although all is known", total, rest)
				}
				if _, ok := lives.box.Wait(kind); lives.box.Room(kind) > 0 || !ok {
					t.Errorf("there is room for %d", lives.box.Room(kind))
				}
			})
		}
	}
}

// TestLimitHoldsWhileSharing has the new process send all that it may: exactly what the old one
// has left.
func TestLimitHoldsWhileSharing(t *testing.T) {
	const limit, sent, running = 200, 100, 2
	for _, kind := range kinds {
		t.Run(kindName(kind), func(t *testing.T) {
			var limits [share.NumKinds]int
			limits[kind] = limit
			old, next := newProcess(t, limits), newProcess(t, limits)
			old.send(sent)
			for range running {
				old.take()
			}
			pair(t, old, next)
			of := 0
			testkit.Eventually(t, "nothing is left", func() bool {
				next.want(limit)
				of += next.send(limit)
				_, none := next.box.Wait(kind)
				return none && of >= limit-sent-running
			})
			if of != limit-sent-running {
				t.Errorf("%d were sent of the %d that are left", of, limit-sent-running)
			}
		})
	}
}

func kindName(k share.Kind) string {
	return [...]string{"minute", "hour", "day", "recipients", "logins"}[k]
}

// TestConnectionsOfTheOldProcessStay: when it begins to share, the old process closes none of
// its connections and opens none, and the new one gets what the old one has not.
func TestConnectionsOfTheOldProcessStay(t *testing.T) {
	old, next := newProcess(t, [share.NumKinds]int{}), newProcess(t, [share.NumKinds]int{})
	if old.box.Connections() != math.MaxInt32 {
		t.Fatal("alone, a process is bound by the switch")
	}
	old.box.Report(2, 1, 2)
	old.Switch.Share(silentPool{})
	if n := old.box.Connections(); n != 2 || old.box.Err() != nil || old.box.Messages() != math.MaxInt32 {
		t.Errorf("before the first answer the old process may have %d connections (%v)", n, old.box.Err())
	}
	old.Switch.Alone(nil, false)
	pair(t, old, next)
	if n := old.box.Connections(); n < 2 {
		t.Errorf("the old process may have %d connections of its 2", n)
	}
	next.box.Report(0, 0, 3)
	testkit.Eventually(t, "the new process gets the third one", func() bool { return next.box.Connections() == 1 })
	if n := old.box.Connections(); n != 2 {
		t.Errorf("the old process may have %d", n)
	}
}

// silentPool is a store's that never answers.
type silentPool struct{}

func (silentPool) Join(string, func()) share.Mailbox { return silentBox{} }

type silentBox struct{ share.Mailbox }

func (silentBox) Limit(int, [share.NumKinds]int) {}
func (silentBox) Restore(share.Hour)             {}
func (silentBox) Connections() int               { return 0 }
func (silentBox) Messages() int                  { return 0 }
func (silentBox) Report(int, int, int)           {}
func (silentBox) Want(share.Kind, int)           {}
func (silentBox) Err() error                     { return share.ErrOutage }

// BenchmarkAlone is what the switch adds to a message while the process is alone.
func BenchmarkAlone(b *testing.B) {
	p := &process{Sharing: &Sharing{Switch: NewSwitch()}}
	p.box = p.Join(key, func() {})
	p.box.Limit(3, [share.NumKinds]int{30, 0, 10000, 10000, 0})
	b.ReportAllocs()
	for b.Loop() {
		_ = p.box.Connections()
		for _, k := range kinds {
			_ = p.box.Room(k)
		}
		p.take()
		p.box.Report(1, 1, 1)
		p.settle()
		p.box.Report(1, 0, 1)
	}
}
