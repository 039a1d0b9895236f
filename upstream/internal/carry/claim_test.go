package carry

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// TestLate: after a session was answered by EndWait, it hears the provider's verdict on the
// message, once, unless that is what it was told.
func TestLate(t *testing.T) {
	accepted := Result{Reply: codec.Reply{Code: 250, Text: "taken"}, Phase: throttle.PhaseFinal}
	refused := Failed(&failure.Error{Phase: throttle.PhaseFinal, Err: failure.ErrRefused, Reply: codec.Reply{Code: 554, Text: "spam"}}, "peer")
	lost := Failed(&failure.Error{Phase: throttle.PhaseFinal, Err: io.EOF}, "peer")
	never := Failed(&failure.Error{Phase: throttle.PhaseQueue, Err: failure.ErrClosed}, "peer")
	for _, tt := range []struct {
		name  string
		claim uint32
		known Result // before EndWait
		end   Result
		told  int // by EndWait
		late  int // 0: nothing
	}{
		{"accepted after the deadline", claimCarrier, Result{}, accepted, 451, 250},
		{"refused after the deadline", claimCarrier, Result{}, refused, 451, 554},
		{"lost after the deadline", claimCarrier, Result{}, lost, 451, 0},
		{"never sent", claimShard, Result{}, never, 451, 0},
		{"known before", claimCarrier, accepted, accepted, 250, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := &listener{stuck: true}
			set := metrics.NewSet()
			r := NewRelay(context.Background(), Config{MaxWaiting: 1}, zap.NewNop(), NewMetrics(set, metric.New(set, "phases", "Seconds.", "phase"), []float64{1}))
			tx := GetTransaction()
			tx.Account, tx.Done, tx.relay = &account.Account{ID: "a"}, l, r
			tx.as = tx.Account
			tx.pool.Store(Pool(l))
			tx.SetMail(codec.MailArgs{Path: []byte("from@x.test"), EnvID: []byte("id"), Size: -1})
			tx.AddRcpt(codec.RcptArgs{Path: []byte("a@x.test"), ORcpt: []byte("rfc822;b@x.test")})
			tx.Rcpts[0].Told = true
			tx.Content = codec.NewContent(nil)
			if err := tx.Content.Append([]byte("text\r\n")); err != nil {
				t.Fatal(err)
			}
			tx.SetMessageID([]byte("<1@x.test>"))
			tx.claim.Store(tt.claim)
			now := time.Now()
			tx.Passage.begin(&Wire{Number: 7}, now)
			if !tt.known.Reply.IsZero() {
				tx.know(tt.known)
			}
			ended, ok := tx.EndWait(now)
			if !ok {
				t.Fatal("the session has no answer")
			}
			defer ended.Release()
			m, rcpt := &ended.Mail, &ended.Rcpts[0]
			if ended.Result.Reply.Code != tt.told || string(m.Path) != "from@x.test" || string(m.EnvID) != "id" || string(ended.MessageID) != "<1@x.test>" ||
				string(rcpt.Args.Path) != "a@x.test" || string(rcpt.Args.ORcpt) != "rfc822;b@x.test" || !rcpt.Told || ended.Size() != 6 || ended.Account.ID != "a" {
				t.Errorf("the session gets %+v", ended)
			}
			if known := tt.known.Reply.Code != 0; known != (ended.Passage.Wire != nil) {
				t.Errorf("the session gets the passage %+v", ended.Passage)
			}
			if tt.claim == claimCarrier && tt.known.Reply.IsZero() {
				tx.know(tt.end)
			}
			r.Finish(tx, tt.end, now, nil)
			switch {
			case len(l.completed) > 0:
				t.Error("the session is answered again")
			case tt.late == 0 && len(l.late) > 0, tt.late > 0 && (len(l.late) != 1 || l.late[0].Reply.Code != tt.late):
				t.Errorf("late comes %v, want %d", l.late, tt.late)
			}
		})
	}
}
