package carry

import (
	"context"
	"errors"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/metric"
)

// listener is a pool and a session that keep what they are told.
type listener struct {
	events    []Event
	completed []Result
	replied   []codec.Reply
	late      []Result
	stuck     bool
}

func (l *listener) Enqueue(e Event) bool { l.events = append(l.events, e); return false }
func (l *listener) Drive(*loop.Loop)     {}
func (l *listener) Stuck() bool          { return l.stuck }

func (l *listener) RecipientsReplied(tx *Transaction, _ *loop.Loop) {
	for i := range tx.Rcpts {
		l.replied = append(l.replied, tx.Rcpts[i].Reply)
	}
}

func (l *listener) Complete(tx *Transaction, _ *loop.Loop) {
	l.completed = append(l.completed, tx.Result)
}

func (l *listener) Late(tx *Transaction) { l.late = append(l.late, tx.Result) }

// TestPanicWhileRelaying: a panic of ours between the beginning of an exchange and its end
// leaves no transaction without an answer, and no place of a connection taken.
func TestPanicWhileRelaying(t *testing.T) {
	for name, end := range map[string]func(c *Conn){
		"told by the client": func(c *Conn) { c.Closed(c.relay.Panicked("ours")) },
		"in carry": func(c *Conn) {
			defer c.contain()
			panic("ours")
		},
	} {
		for _, whole := range []bool{false, true} {
			for _, given := range []bool{false, true} { // the transaction is with its session already
				l := new(listener)
				set := metrics.NewSet()
				r := NewRelay(context.Background(), Config{}, zap.NewNop(), NewMetrics(set, metric.New(set, "phases", "Seconds.", "phase"), []float64{1}))
				c := r.NewConn(l, nil, &account.Account{ID: "a"}, loop.NewFake(loop.Config{}).Loop, nil)
				tx := GetTransaction()
				tx.Account, tx.Done = c.account, l
				tx.AddRcpt(codec.RcptArgs{Path: []byte("a@x.test")})
				if whole {
					tx.Content = codec.NewContent(nil)
				}
				tx.Place.Taken = 1
				tx.claim.Store(claimCarrier)
				c.work, c.tx = workRelay, tx
				if given {
					c.tx = nil
				}
				end(c)
				var kinds []Kind
				for _, e := range l.events {
					kinds = append(kinds, e.Kind)
					if e.Kind == Learned && (e.Err == nil || (e.Accepted == 1) != whole) {
						t.Errorf("%s, whole %t: the pool learns %+v", name, whole, e)
					}
				}
				if n := len(kinds); n == 0 || kinds[n-1] != Gone || given != (n == 1) {
					t.Errorf("%s, whole %t, given %t: the pool heard %v", name, whole, given, kinds)
				}
				switch {
				case given && len(l.completed)+len(l.replied) > 0:
					t.Errorf("%s: the session is told %v, %v", name, l.completed, l.replied)
				case given:
				case whole && (len(l.completed) != 1 || l.completed[0].Reply.Code != 451 || !l.completed[0].Err.MaybeAccepted()):
					t.Errorf("%s: the session is told %v", name, l.completed)
				case !whole && (len(l.replied) != 1 || l.replied[0].Code != 451):
					t.Errorf("%s: the recipients are told %v", name, l.replied)
				}
				events := len(l.events)
				if c.Closed(errors.New("again")); len(l.events) != events {
					t.Errorf("%s: the pool hears again: %v", name, l.events[events:])
				}
			}
		}
	}
}
