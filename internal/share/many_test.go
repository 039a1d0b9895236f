package share_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/ledger"
)

// TestManyGoroutines has two nodes with many goroutines each take recipients under one key,
// and join and leave keys of their own: together they never have more than the limit.
func TestManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 3000
		l := ledger.New(ledger.Config{Epoch: "1"})
		var taken, counted atomic.Int64
		var all sync.WaitGroup
		for i := range 2 {
			m := share.NewMember(share.Config{Node: fmt.Sprint("n", i)}, l, zap.NewNop(), metrics.NewSet())
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			var box share.Mailbox
			var calls atomic.Int64
			box = m.Join("tenant", func() { calls.Add(1) })
			var permits [share.NumKinds]int
			permits[share.RecipientsPerDay] = limit
			box.Limit(0, permits)
			for j := range 8 {
				all.Go(func() {
					own := m.Join(fmt.Sprint("key", j), func() {})
					own.Limit(2, permits)
					for range 500 {
						box.Want(share.RecipientsPerDay, 20)
						n := 0
						for n < 10 && box.Take(share.RecipientsPerDay) {
							n++
						}
						if now := taken.Add(int64(n)); now > limit {
							t.Errorf("%d recipients, limit %d", now, limit)
						}
						own.Report(n%3, n%2, n%3)
						<-time.After(5 * time.Millisecond)
						own.Report(0, 0, 0)
						own.Connections()
						own.Messages()
						_, _ = box.Wait(share.RecipientsPerDay)
						_ = own.Err()
						taken.Add(int64(n/2 - n))
						box.Settle(share.RecipientsPerDay, n, n/2)
						counted.Add(int64(n / 2))
					}
					own.Leave()
				})
			}
		}
		all.Wait()
		if n := counted.Load(); n != taken.Load() || n < limit*9/10 {
			t.Errorf("%d of %d recipients were counted, %d taken", n, limit, taken.Load())
		}
		_ = l.Close()
	})
}
