// Package journal writes the log lines about clients off the event loops.
package journal

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// ringSize is how many lines wait to be written. More are dropped.
	ringSize = 4096
	// window and perWindow bound the lines of refusals that say the same.
	window    = 10 * time.Second
	perWindow = 50
)

// Messages says which outcomes of messages are logged.
type Messages string

const (
	// All logs each message.
	All Messages = "all"
	// Failed logs each message that was not accepted.
	Failed Messages = "failed"
	// None logs no message.
	None Messages = "none"
)

// Valid reports whether m is one of the three.
func (m Messages) Valid() bool { return m == All || m == Failed || m == None }

// Wants reports whether a message with that outcome is logged.
func (m Messages) Wants(accepted bool) bool { return m == All || m == Failed && !accepted }

// Journal writes lines from a goroutine, at level Info unless said otherwise. Its methods
// do not block, and may be called by any number of goroutines.
type Journal struct {
	log     *zap.Logger
	dropped func()
	ring    chan line
	stop    chan struct{}
	once    sync.Once
	done    sync.WaitGroup
}

// line is one line of the log.
type line struct {
	text   string
	fields []zap.Field
	bound  bool // in rate
	level  zapcore.Level
}

// New makes a journal. dropped is called for each line that finds no room, and must not
// block.
func New(log *zap.Logger, dropped func()) *Journal {
	return &Journal{log: log, dropped: dropped, ring: make(chan line, ringSize), stop: make(chan struct{})}
}

// Start starts the goroutine that writes.
func (j *Journal) Start() { j.done.Go(j.write) }

func (j *Journal) put(l line) {
	if !j.log.Core().Enabled(l.level) {
		return
	}
	select {
	case j.ring <- l:
	default:
		j.dropped()
	}
}

// Note logs what happened to a client, or to many. Lines above level Info are bounded as
// those of Refused are.
func (j *Journal) Note(level zapcore.Level, text string, fields ...zap.Field) {
	j.put(line{text, fields, level > zap.InfoLevel, level})
}

// Close writes what waits, and ends the goroutine. Lines that come later are not written.
func (j *Journal) Close() {
	j.once.Do(func() { close(j.stop) })
	j.done.Wait()
}

// write is the goroutine of the journal.
func (j *Journal) write() {
	r := rates{log: j.log, byText: make(map[string]*rate)}
	for {
		select {
		case l := <-j.ring:
			r.write(l, time.Now())
		case <-r.due:
			r.report(time.Now())
		case <-j.stop:
			for len(j.ring) > 0 {
				r.write(<-j.ring, time.Now())
			}
			r.report(time.Now().Add(window))
			return
		}
	}
}

// rates bounds the lines.
type rates struct {
	log    *zap.Logger
	byText map[string]*rate
	due    <-chan time.Time // when report is to be called; nil: nothing was left out
}

// rate has the lines of one text.
type rate struct {
	until   time.Time // end of the window
	n, left int       // lines written and left out in it
	level   zapcore.Level
}

// write writes a line, or leaves it out.
func (r *rates) write(l line, now time.Time) {
	if l.bound {
		w := r.byText[l.text]
		if w == nil {
			w = new(rate)
			r.byText[l.text] = w
		}
		if !now.Before(w.until) {
			if w.left > 0 {
				l.fields = append(l.fields, zap.Int("left_out", w.left))
			}
			*w = rate{until: now.Add(window), level: l.level}
		}
		if w.n == perWindow {
			w.left++
			if r.due == nil {
				r.due = time.After(w.until.Sub(now))
			}
			return
		}
		w.n++
	}
	r.log.Log(l.level, l.text, l.fields...)
}

// report says how many lines were left out in windows that have ended.
func (r *rates) report(now time.Time) {
	r.due = nil
	for text, w := range r.byText {
		switch {
		case w.left > 0 && !now.Before(w.until):
			r.log.Log(w.level, text, zap.Int("left_out", w.left))
			w.left = 0
		case w.left > 0 && r.due == nil:
			r.due = time.After(w.until.Sub(now))
		}
	}
}
