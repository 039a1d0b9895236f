package logging

import (
	"errors"
	"os"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/metric"
)

const (
	// complaintPause is how often standard error is told that the log file takes no lines.
	complaintPause = time.Minute
	// maxLines and maxOctets bound what waits to be written to a place.
	maxLines, maxOctets = 8192, 4 << 20
	// patience is how long an order to a place waits for the lines before it.
	patience = 2 * time.Second
)

// linesLost counts lines that a place did not take.
var linesLost = metric.New(metrics.GetDefaultSet(), "log_lines_lost_total", "Log lines that could not be written.").
	Do("Look at the disk of log.file: full, read-only or too slow.").Counter()

var (
	// errFull is what an order to a place returns that finds no room in the queue.
	errFull = errors.New("the log takes no lines at the moment")
	// errSlow is what one returns that is not carried out in time, and may be later.
	errSlow = errors.New("the log takes lines slowly at the moment")
)

// place is one place that lines go to. Its goroutine writes them: who logs never waits. It
// loses lines that cannot be written, and those that find no room in its queue.
type place struct {
	encoder zapcore.Encoder // for lines about the place itself
	path    string          // "": standard error
	queue   chan item
	octets  atomic.Int64 // of lines in queue
	refused atomic.Int64 // lines that found no room, and are not in lost yet

	// The fields below belong to the goroutine.
	file       *os.File
	lost       int       // lines since the last one that was written
	torn       bool      // a part of a line was written
	complained time.Time // when standard error was told
}

// item is a line, or an order.
type item struct {
	line  []byte
	order func()
}

// newPlace starts a place. The caller closes it.
func newPlace(encoder zapcore.Encoder, path string, file *os.File) *place {
	p := &place{encoder: encoder, path: path, file: file, queue: make(chan item, maxLines)}
	go p.run()
	return p
}

// Write implements zapcore.WriteSyncer. It does not block.
func (p *place) Write(line []byte) (int, error) {
	n := int64(len(line))
	if p.octets.Add(n) <= maxOctets {
		select {
		case p.queue <- item{line: append([]byte(nil), line...)}:
			return len(line), nil
		default:
		}
	}
	p.octets.Add(-n)
	p.refused.Add(1)
	linesLost.Inc()
	return len(line), nil
}

// run writes lines and obeys orders, until one of them closes the file.
func (p *place) run() {
	for p.file != nil {
		i := <-p.queue
		if i.order != nil {
			i.order()
			continue
		}
		p.octets.Add(-int64(len(i.line)))
		p.write(i.line)
	}
}

// write writes a line, after one about those that are missing.
func (p *place) write(line []byte) {
	p.count()
	if p.lost > 0 && p.put(p.missing()) == nil {
		p.lost = 0
	}
	if err := p.put(line); err != nil {
		p.lost++
		linesLost.Inc()
		p.complain(err)
	}
}

// count adds the lines that found no room to those that are lost.
func (p *place) count() { p.lost += int(p.refused.Swap(0)) }

// put writes a line.
func (p *place) put(line []byte) error {
	if p.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := p.file.Write(line)
	p.torn = err != nil && (p.torn || n > 0)
	return err
}

// missing returns the line that says how many are missing.
func (p *place) missing() []byte {
	return p.line(zapcore.WarnLevel, "lines of the log are lost", zap.Int("lines", p.lost))
}

// complain tells standard error that the log file takes no lines.
func (p *place) complain(err error) {
	if now := time.Now(); p.path != "" && now.Sub(p.complained) >= complaintPause {
		p.complained = now
		_, _ = os.Stderr.Write(p.line(zapcore.ErrorLevel, "cannot write log.file: lines are lost", zap.Error(err), zap.Int("lines", p.lost)))
	}
}

// line returns a line about the place itself.
func (p *place) line(level zapcore.Level, text string, fields ...zap.Field) []byte {
	entry := zapcore.Entry{Level: level, Time: time.Now(), LoggerName: "log", Message: text}
	b, err := p.encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil
	}
	defer b.Free()
	return append([]byte(nil), b.Bytes()...)
}

// order has the goroutine do something after the lines before, and waits for it.
func (p *place) order(do func() error) (err error) {
	done := make(chan error, 1)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case p.queue <- item{order: func() { done <- do() }}:
	case <-timer.C:
		return errFull
	}
	select {
	case err = <-done:
		return err
	case <-timer.C:
		return errSlow
	}
}

// Sync implements zapcore.WriteSyncer: the lines before are written.
func (p *place) Sync() error { return p.order(func() error { return p.file.Sync() }) }

// reopen has the next lines go to the file that is at the path now.
func (p *place) reopen() error {
	file, err := openFile(p.path)
	if err != nil {
		return err
	}
	err = p.order(func() error {
		_ = p.file.Close()
		p.file, p.torn = file, false
		return nil
	})
	if errors.Is(err, errFull) {
		_ = file.Close()
	}
	return err
}

// close writes what waits and ends the goroutine. Standard error stays open.
func (p *place) close() {
	_ = p.order(func() error {
		if p.count(); p.lost > 0 {
			_ = p.put(p.missing())
		}
		_ = p.file.Sync() // some kinds of standard error cannot be synced
		if p.path != "" {
			_ = p.file.Close()
		}
		p.file = nil
		return nil
	})
}
