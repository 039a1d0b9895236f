package logging

import (
	"os"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// linesLost counts lines that a place did not take.
var linesLost = metrics.NewCounter("log_lines_lost_total")

// complaintPause is how often standard error is told that the log file takes no lines.
const complaintPause = time.Minute

// place is one place that lines go to. It takes each line, and loses those that cannot be
// written.
type place struct {
	encoder zapcore.Encoder // for lines about the place itself
	path    string          // "": standard error

	mu         sync.Mutex // guards the fields below
	file       *os.File
	lost       int       // lines since the last one that was written
	torn       bool      // a part of a line was written
	complained time.Time // when standard error was told
}

// Write implements zapcore.WriteSyncer.
func (p *place) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost > 0 && p.put(p.missing()) == nil {
		p.lost = 0
	}
	if err := p.put(line); err != nil {
		p.lost++
		linesLost.Inc()
		p.complain(err)
	}
	return len(line), nil
}

// put writes a line. Called with mu.
func (p *place) put(line []byte) error {
	if p.torn {
		line = append([]byte("\n"), line...)
	}
	n, err := p.file.Write(line)
	p.torn = err != nil && (p.torn || n > 0)
	return err
}

// missing returns the line that says how many are missing. Called with mu.
func (p *place) missing() []byte {
	return p.line(zapcore.WarnLevel, "lines of the log are lost", zap.Int("lines", p.lost))
}

// complain tells standard error that the log file takes no lines. Called with mu.
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

// Sync implements zapcore.WriteSyncer.
func (p *place) Sync() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.file.Sync()
}

// reopen has the next lines go to the file that is at the path now.
func (p *place) reopen() error {
	file, err := openFile(p.path)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.file.Close()
	p.file, p.torn = file, false
	return nil
}

func (p *place) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.file.Close()
}
