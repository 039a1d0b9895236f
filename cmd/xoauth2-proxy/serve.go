package main

import (
	"context"
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
)

// files are the flags that name the files.
type files struct {
	Config   string `help:"Configuration file. Without it: config.json in the working directory, /etc/xoauth2, /usr/local/etc/xoauth2 or ~/.xoauth2, else the defaults." env:"XOAUTH2_CONFIG" placeholder:"FILE"`
	Accounts string `help:"Accounts file. Without it: accounts.json in the same places." env:"XOAUTH2_ACCOUNTS" placeholder:"FILE"`
}

// serveCmd runs the proxy until a signal ends it.
type serveCmd struct {
	files
	Host              string `help:"Listen on this address (default 127.0.0.1)." env:"XOAUTH2_HOST" placeholder:"ADDR"`
	Port              *int   `help:"Listen on this port (default 2525); 0 picks a free one." env:"XOAUTH2_PORT" placeholder:"PORT"`
	AdminHost         string `help:"Serve metrics and health on this address (default 127.0.0.1)." env:"XOAUTH2_ADMIN_HOST" placeholder:"ADDR"`
	AdminPort         *int   `help:"Serve metrics and health on this port (default 9090); 0 picks a free one." env:"XOAUTH2_ADMIN_PORT" placeholder:"PORT"`
	GlobalConcurrency *int   `help:"Messages with providers at one time, over all accounts (default: no limit)." env:"XOAUTH2_GLOBAL_CONCURRENCY" placeholder:"N"`
	DryRun            bool   `help:"Do everything up to the login at the provider, but send nothing; the replies say so." env:"XOAUTH2_DRY_RUN"`

	memory accountfile.Cache // of the accounts, for reloads
}

func (c *serveCmd) overrides() config.Flags {
	return config.Flags{
		Host: c.Host, Port: c.Port, AdminHost: c.AdminHost, AdminPort: c.AdminPort,
		GlobalConcurrency: c.GlobalConcurrency, DryRun: c.DryRun,
	}
}

// Run implements the command.
func (c *serveCmd) Run() error {
	from := origin{load: c.load, memory: &c.memory, since: time.Now()}
	settings, accounts, report, err := c.load()
	if err != nil {
		return err
	}
	log, closeLog, err := newLeveledLogger(settings.Log, &from.level)
	if err != nil {
		return err
	}
	defer closeLog()
	for _, line := range report.Lines() {
		log.Info("configuration", zap.String("says", line))
	}
	return serve(settings, accounts, from, log, nil)
}

// load reads the files and applies the command line.
func (c *serveCmd) load() (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
	settings, accounts, report, err := c.readWith(&c.memory)
	if err != nil {
		return nil, nil, report, err
	}
	if err := settings.Override(c.overrides()); err != nil {
		return nil, nil, report, exitError{exitUsage, err}
	}
	return settings, accounts, report, nil
}

// serve runs a proxy until a signal ends it. started, if not nil, is called
// once clients can connect.
func serve(settings *config.Settings, accounts *account.Snapshot, from origin, log *zap.Logger, started func(*proxy)) error {
	end := awaitSignals(log, settings.Server.DrainTimeout)
	defer end.release()
	tuneRuntime(settings.Runtime, settings.Server.Loops)
	if settings.Runtime.Scheduling == "batch" {
		if err := scheduleAsBatch(); err != nil {
			log.Warn("runtime.scheduling: the threads keep the normal policy", zap.Error(err))
		}
	}
	if settings.Admin.Pprof { // without these two, mutex and block profiles stay empty
		runtime.SetMutexProfileFraction(mutexFraction)
		runtime.SetBlockProfileRate(int(blockRate))
	}
	p, err := startProxy(settings, accounts, from, log)
	if err != nil {
		return err
	}
	end.of.Store(p)
	if started != nil {
		started(p)
	}
	sig := <-end.first
	log.Info("draining: no new connections, running messages finish; a second signal ends at once",
		zap.Stringer("signal", sig), zap.Duration("timeout", settings.Server.DrainTimeout))
	ctx, cancel := context.WithTimeout(context.Background(), settings.Server.DrainTimeout)
	defer cancel()
	defer context.AfterFunc(end.second, cancel)()
	cut := p.stop(ctx)
	select {
	case <-end.second.Done():
		return exitError{exitCut, errors.New("ended at once by a second signal")}
	default:
	}
	if cut > 0 {
		log.Warn("the drain timeout has passed, sessions were cut off", zap.Int64("sessions", cut))
		return exitError{code: exitCut}
	}
	log.Info("stopped")
	return nil
}

// defaultGOGC is the growth of the heap between two collections, in percent.
// There is so little garbage that collecting it more often than by Go's default
// of 100 costs nothing that could be measured, and saves a third of the memory
// under load.
const defaultGOGC = 10

// tuneRuntime applies the runtime settings. A loop holds a P while it sleeps in
// epoll_wait, so the default is one more than there are loops: what is not done
// on a loop never waits for one to wake up.
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

// What the profiles of contention sample: one in so many contended locks, and
// one wait for each such time spent waiting.
const (
	mutexFraction = 100
	blockRate     = 100 * time.Microsecond
)

// stopGrace is how long closing what is idle may take after the drain.
const stopGrace = 2 * time.Second
