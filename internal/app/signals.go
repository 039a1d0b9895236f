package app

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// Signals takes the signals of a process that do not end it:
//
//   - SIGHUP waits for the proxy: it opens log.file and the
//     accounting log anew and reloads. A process that began at
//     a terminal which is gone drains and ends instead.
//   - SIGPIPE: a write to a closed pipe is an error of that write.
//   - SIGUSR1 and SIGUSR2 have no effect.
type Signals struct {
	hup      chan os.Signal // capacity 1
	others   chan os.Signal // never read
	end      chan os.Signal // SIGTERM, SIGINT and the SIGHUP of a terminal that is gone
	terminal bool           // the process began at a terminal
}

// CatchSignals is for the beginning of a process, before it reads its files. SIGTERM and
// SIGINT end the process until Run.
func CatchSignals() *Signals {
	s := &Signals{hup: make(chan os.Signal, 1), others: make(chan os.Signal, 1), end: make(chan os.Signal, 4),
		terminal: term.IsTerminal(int(os.Stdin.Fd())) && hasTerminal()}
	signal.Notify(s.hup, syscall.SIGHUP)
	signal.Notify(s.others, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2)
	return s
}

// hasTerminal reports whether the process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	_ = f.Close()
	return true
}

// hangup handles a SIGHUP: it reports true, or has the process end if its terminal is gone.
func (s *Signals) hangup() (reload bool) {
	if !s.terminal || hasTerminal() {
		return true
	}
	select {
	case s.end <- syscall.SIGHUP:
	default: // it is ending
	}
	return false
}

// release gives SIGHUP and the others their usual effects, which is to end the process.
func (s *Signals) release() {
	signal.Stop(s.hup)
	signal.Stop(s.others)
}
