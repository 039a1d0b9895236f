// Package systemd tells the service manager of systemd how the process does, by the socket
// that NOTIFY_SOCKET names (sd_notify(3)). Without that variable nothing is told.
package systemd

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// Service is the service that this process is a process of. Its methods are safe for
// concurrent use, and wait for the socket of the service manager at most.
type Service struct {
	log   *zap.Logger
	other atomic.Bool // another process is the main one: this one says nothing
}

// New returns the service of this process. main says whether it is the main process.
func New(log *zap.Logger, main bool) *Service {
	s := &Service{log: log}
	s.other.Store(!main)
	return s
}

// Ready says that the service serves, or serves again after Reloading. From then on this
// process is the main one.
func (s *Service) Ready() {
	s.other.Store(false)
	s.tell(daemon.SdNotifyReady + "\n" + daemon.SdNotifyWatchdog)
}

// Reloading says that the service reads its files anew.
func (s *Service) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return // not possible
	}
	s.tell(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/int64(time.Microsecond)))
}

// Reloaded ends Reloading.
func (s *Service) Reloaded() { s.tell(daemon.SdNotifyReady) }

// Stopping says that the service ends.
func (s *Service) Stopping() { s.tell(daemon.SdNotifyStopping) }

// MainIs says which process is the main one. Of another one, this process says nothing more.
func (s *Service) MainIs(pid int) {
	state := fmt.Sprintf("MAINPID=%d", pid)
	if pid == os.Getpid() {
		s.other.Store(false)
		s.tell(state + "\n" + daemon.SdNotifyReady)
		return
	}
	s.tell(state)
	s.other.Store(true)
}

// tell sends a state.
func (s *Service) tell(state string) {
	if s.other.Load() {
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("cannot tell systemd how the process does", zap.Error(err))
	}
}

// Reassure notifies systemd that the process lives, if the unit asks for it by WatchdogSec=.
// The notifications cease while alive is false; then systemd ends the process. stop ends them.
func (s *Service) Reassure(alive func() bool) (stop func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("cannot tell how often systemd wants to hear of the process", zap.Error(err))
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
			if alive() {
				s.tell(daemon.SdNotifyWatchdog)
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

// Supervised reports whether systemd has started this process as the main one of a unit that
// does not listen to it: then it cannot be told of another main process.
func Supervised() bool {
	return os.Getenv("NOTIFY_SOCKET") == "" && os.Getenv("SYSTEMD_EXEC_PID") == fmt.Sprint(os.Getpid())
}
