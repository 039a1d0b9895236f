package upstream

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
)

// hangingDisk is a QuotaStore whose Flush hangs until it is let go.
type hangingDisk struct{ *hangingStore }

func (h hangingDisk) Flush() error {
	select {
	case h.come <- struct{}{}:
		<-h.letGo
	case <-h.letGo: // closed
	}
	return nil
}

// TestStuckQuotaStore: a disk that hangs is named, and mail goes on without it.
func TestStuckQuotaStore(t *testing.T) {
	h := hangingDisk{newHangingStore()}
	dog := watchdog.New(watchdog.Config{Patience: 100 * time.Millisecond, Withhold: time.Minute}, zap.NewNop(), metrics.NewSet())
	t.Cleanup(dog.Close)
	f := newFixture(t, func(s *setup) {
		s.relay.Watch, s.relay.Quota, s.limits.MessagesPerDay = dog, h, 100
	})
	letGo := sync.OnceFunc(func() { close(h.letGo) })
	t.Cleanup(letGo) // or a test that fails would wait for ever
	f.sendOK(f.accounts[0], "before\r\n")
	saved := make(chan struct{})
	go func() {
		defer close(saved)
		f.relay.saver.save()
	}()
	<-h.come
	named := func(name string) bool { return strings.HasPrefix(name, "quota store has been stuck") }
	f.until(func() bool { return slices.ContainsFunc(dog.Stuck(), named) })
	f.sendOK(f.accounts[0], "meanwhile\r\n")
	letGo()
	<-saved
	f.until(func() bool { return !slices.ContainsFunc(dog.Stuck(), named) })
}
