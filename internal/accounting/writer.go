package accounting

import (
	"errors"
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/watchdog"
)

const (
	// gather is how long the writer lets records gather.
	gather = 100 * time.Millisecond
	// retryPause is how long it waits to write a drop record, if no other comes.
	retryPause = time.Second
	// complaintPause is how often the log says that a file cannot be written.
	complaintPause = time.Minute
	// patience is how long an order waits for the writer.
	patience = 2 * time.Second
)

// errSlow is what an order returns that is not carried out in time, and may be later.
var errSlow = errors.New("the accounting log is written slowly at the moment")

// writer is what belongs to the goroutine that writes.
type writer struct {
	of      *Log
	cfg     *Config
	process string
	files   []*file
	spare   *batch
	part    *watchdog.Part
	dropped uint64 // records, so far
	torn    bool   // the state file broke, and that was logged

	unlockAside func() // nil: the process has the directory; see aside.go
}

func newWriter(l *Log, cfg *Config, process string) writer {
	w := writer{of: l, cfg: cfg, process: process, spare: newBatch()}
	for _, f := range cfg.Files {
		w.files = append(w.files, newFile(f, cfg, process, l))
	}
	return w
}

// run writes until it is ordered to end.
func (l *Log) run() {
	defer close(l.ended)
	for {
		o := l.wait()
		l.part(l.flush)
		if o.do == nil {
			continue
		}
		var err error
		l.part(func() { err = o.do() })
		o.done <- err
		if o.end {
			l.writer.part.Remove()
			return
		}
	}
}

// part does a piece of work that the watchdog looks at.
func (l *Log) part(do func()) {
	l.writer.part.Begin()
	do()
	l.writer.part.End()
}

// wait waits for records, and lets more of them gather, or for an order.
func (l *Log) wait() (o order) {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	retry := timer.C
	if !l.writer.owes() {
		retry = nil
	}
	select {
	case <-l.begun:
	case o = <-l.orders:
		return o
	case <-retry:
		return o
	}
	timer.Reset(gather)
	select {
	case <-timer.C:
	case <-l.half:
	case o = <-l.orders:
	}
	return o
}

// owes reports whether a file lacks a drop record.
func (w *writer) owes() bool {
	for _, f := range w.files {
		if f.lost.count > 0 {
			return true
		}
	}
	return false
}

// flush writes what there is.
func (l *Log) flush() {
	w := &l.writer
	full, given, torn := l.swap(w.spare)
	w.dropped += full.dropped.count
	for _, f := range w.files {
		w.dropped += f.take(full)
	}
	full.reset()
	w.spare = full
	if !w.owes() {
		l.wrote(given)
	}
	if torn && !w.torn {
		w.torn = true
		l.log.Warn("the state file of the accounting log broke: after a crash it is not known how many records are missing")
	}
}

// start writes the start records.
func (w *writer) start(before previous) {
	about := before.about()
	for _, f := range w.files {
		f.note(&row{kind: kindStart, about: &about})
	}
	if about.count > 0 {
		w.of.log.Warn("records of the accounting log are missing: the process before was killed",
			zap.Uint64("records", about.count), zap.String("process", about.process), zap.Uint64("last_sequence", about.last))
	}
}

// reopen closes the files; the next records open them.
func (w *writer) reopen() error {
	for _, f := range w.files {
		f.close()
	}
	return nil
}

// end writes the end records, and closes the files.
func (w *writer) end() error {
	w.of.mu.Lock()
	given := w.of.given
	w.of.mu.Unlock()
	for _, f := range w.files {
		f.note(&row{kind: kindEnd, about: &about{last: given, count: w.dropped}})
		f.end()
	}
	if w.unlockAside != nil {
		w.retireAside()
		_ = os.Remove(w.cfg.statePath() + aside + w.process)
	}
	return nil
}
