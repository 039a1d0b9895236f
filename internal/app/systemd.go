package app

import (
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
)

// reassureSystemd notifies systemd that the process lives, if the unit asks for it by
// WatchdogSec=. The notifications cease while a part has been stuck for a minute;
// then systemd ends the process. stop ends them.
func reassureSystemd(w *watchdog.Watchdog, log *zap.Logger) (stop func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot tell how often systemd wants to hear of the process", zap.Error(err))
	}
	if err != nil || interval <= 0 {
		return func() {}
	}
	quit := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(interval / 3)
		defer tick.Stop()
		for {
			if w.Alive() {
				if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
					log.Warn("cannot tell systemd that the process lives", zap.Error(err))
				}
			}
			select {
			case <-tick.C:
			case <-quit:
				return
			}
		}
	})
	return func() {
		close(quit)
		wg.Wait()
	}
}
