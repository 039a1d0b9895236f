// Package tuning sets up the Go runtime and the threads of a process for one proxy.
package tuning

import (
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/loop"
)

// Apply puts the settings in force that hold for the whole process.
func Apply(s *config.Settings, log *zap.Logger) {
	tuneRuntime(s.Runtime, s.Server.Loops)
	if s.Runtime.Scheduling == "batch" {
		if err := loop.ScheduleAsBatch(); err != nil {
			log.Warn("runtime.scheduling: the threads keep the normal policy", zap.Error(err))
		}
	}
	if s.Admin.Pprof { // without these two, mutex and block profiles stay empty
		runtime.SetMutexProfileFraction(mutexFraction)
		runtime.SetBlockProfileRate(int(blockRate))
	}
}

// defaultGOGC is the growth of the heap between two collections, in percent.
// There is little garbage: to collect it more often than by Go's default of 100
// saves a third of the memory under load, and costs nothing measurable.
const defaultGOGC = 10

// tuneRuntime applies the runtime settings. A loop holds a P while it sleeps in
// epoll_wait. Therefore the default is one P more than there are loops: work that
// is not done on a loop never waits until a loop wakes up.
func tuneRuntime(r config.Runtime, loops int) {
	switch {
	case r.GOMAXPROCS > 0:
		runtime.GOMAXPROCS(r.GOMAXPROCS)
	case os.Getenv("GOMAXPROCS") == "":
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), loops) + 1)
	}
	switch {
	case r.GOGC > 0:
		debug.SetGCPercent(r.GOGC)
	case os.Getenv("GOGC") == "":
		debug.SetGCPercent(defaultGOGC)
	}
	if r.GOMEMLIMIT > 0 {
		debug.SetMemoryLimit(r.GOMEMLIMIT)
	}
}

// Samples of the profiles of contention: one in so many contended locks, and one
// wait for each such time spent waiting.
const (
	mutexFraction = 100
	blockRate     = 100 * time.Microsecond
)
