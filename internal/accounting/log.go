package accounting

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/watchdog"
)

// Log writes records. A nil Log takes them and does nothing.
type Log struct {
	log     *zap.Logger
	metrics *meters

	mu      sync.Mutex // guards the fields below; see the package documentation
	filling *batch
	given   uint64 // the highest number
	page    *page  // nil: there is none
	closed  bool

	begun  chan struct{} // filling is not empty any more; capacity 1
	half   chan struct{} // filling is half full; capacity 1
	orders chan order
	ended  chan struct{} // closed when the writer has ended

	writer writer // belongs to the writer
	unlock func() // the directory
}

// order is something that the writer does between two batches.
type order struct {
	do   func() error
	done chan error // capacity 1
	end  bool       // the writer ends after it
}

// Open starts a log. The caller closes it. Another process that has the directory is an
// error; a disk that cannot be written to at the moment is not, it is logged.
func Open(cfg Config, log *zap.Logger, set *metrics.Set) (*Log, error) {
	if err := os.MkdirAll(cfg.Directory, dirMode); err != nil {
		return nil, fmt.Errorf("accounting.directory: %w", err)
	}
	unlock, err := lock(filepath.Join(cfg.Directory, lockName))
	if err != nil {
		return nil, fmt.Errorf("accounting.directory: %w", err)
	}
	now := time.Now()
	process := now.UTC().Format("20060102T150405.000Z") + "-" + strconv.Itoa(os.Getpid())
	l := &Log{log: log, metrics: newMeters(set), filling: newBatch(), unlock: unlock,
		begun: make(chan struct{}, 1), half: make(chan struct{}, 1), orders: make(chan order), ended: make(chan struct{})}
	l.writer = newWriter(l, &cfg, process)
	before := l.writer.before(cfg.statePath())
	if l.page, err = openPage(cfg.statePath(), process); err != nil {
		log.Warn("cannot use the state file: after a crash it is not known how many records are missing", zap.Error(err))
	}
	l.writer.part = cfg.Watch.Add(watchdog.Task{Kind: watchdog.AccountingWriter, Aside: true,
		Func: "accounting.(*Log).part", On: l})
	l.writer.start(before)
	l.writer.inherit()
	go l.run()
	return l, nil
}

// lock keeps other processes out of a directory, by a file in it.
func lock(path string) (unlock func(), err error) {
	file, err := openRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	_ = file.Close()
	unlock, err = durable.LockDir(path, lockPatience)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("another process writes to %s: give each a directory of its own", filepath.Dir(path))
	}
	return unlock, err
}

// lockPatience is how long a process that is ending may keep the directory.
const lockPatience = 2 * time.Second

// Put takes a record. It copies it, does not block and does not allocate. The record gets
// the next number; without room it is dropped and counted.
func (l *Log) Put(r *Record) {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.given++
	l.page.store(l.given)
	b := l.filling
	was := b.empty()
	ok := !l.closed && b.dropped.count == 0 && b.put(r, l.given)
	if !ok {
		b.dropped.add(l.given, l.given, 1, whyFull)
	}
	half := len(b.entries) == maxRecords/2 || len(b.text) > maxText/2
	l.mu.Unlock()
	if !ok {
		l.metrics.dropped[whyFull].Inc()
	}
	if was {
		wake(l.begun)
	}
	if half {
		wake(l.half)
	}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// swap gives the writer what there is, and has the empty spare take the next records.
// torn: the state file broke.
func (l *Log) swap(spare *batch) (full *batch, given uint64, torn bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full, l.filling = l.filling, spare
	return full, l.given, l.page != nil && l.page.torn
}

// forgetPage ends the use of the state file.
func (l *Log) forgetPage() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.page.close()
	l.page = nil
}

// wrote stores up to which number all is in the files.
func (l *Log) wrote(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.page.put(pageWritten, n)
}

// Reopen opens the files anew, after another program has renamed them. Errors: the writer
// did not get to it in time, and still may.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	return l.order(order{do: l.writer.reopen})
}

// Close writes what there is, and ends the log. A disk that hangs keeps the rest.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	err := l.order(order{do: l.writer.end, end: true})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if err == nil {
		l.page.close()
		l.page = nil
		l.unlock()
	}
	return err
}

// order has the writer do something, and waits for it.
func (l *Log) order(o order) error {
	o.done = make(chan error, 1)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case l.orders <- o:
	case <-l.ended:
		return nil
	case <-timer.C:
		return errSlow
	}
	select {
	case err := <-o.done:
		return err
	case <-timer.C:
		return errSlow
	}
}
