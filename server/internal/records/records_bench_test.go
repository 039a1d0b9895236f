package records

import (
	"net/netip"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/upstream"
)

// BenchmarkMessage is what the record of a message costs the event loop: to make it, and to
// give it to the log. The log is closed, and so drops it: what its writer does is not part
// of that.
func BenchmarkMessage(b *testing.B) {
	cfg := accounting.DefaultConfig()
	cfg.Directory, cfg.MinFree = b.TempDir(), 0
	log, err := accounting.Open(cfg, zap.NewNop(), metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	if err := log.Close(); err != nil {
		b.Fatal(err)
	}
	tx := upstream.GetTransaction()
	defer tx.Release()
	tx.Account = &account.Account{ID: "a", Email: "a@example.com"}
	tx.SetMail(codec.MailArgs{Path: []byte("a@example.com"), Size: -1})
	tx.AddRcpt(codec.RcptArgs{Path: []byte("b@example.com")})
	tx.Rcpts[0].Told = true
	tx.Result = upstream.Result{Reply: codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "OK 1733000000 a1b2c3-2222222"}, Upstream: "smtp.example.com:587"}
	now := time.Now()
	tx.Place.Submitted, tx.Passage.Began, tx.Passage.Left, tx.Passage.Done, tx.Passage.Attempts = now, now, now, now, 1
	c := Client{Session: 1, Addr: netip.MustParseAddr("192.0.2.1"), Listener: "192.0.2.2:2525"}
	tx.SetMessageID([]byte("<1@example.com>"))
	for _, bm := range []struct {
		name string
		pen  *Pen
	}{{"off", NewPen(nil)}, {"on", NewPen(log)}} {
		b.Run("accounting="+bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bm.pen.Message(c, tx, false)
			}
		})
	}
}
