package logging

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Config says where lines go and how they look.
type Config struct {
	// JSON writes lines as JSON, else as text.
	JSON bool
	// Console logs to standard error.
	Console bool
	// File is appended to; "": none. It is made with mode 0640.
	File string
}

// Output is where the lines of a logger go.
type Output struct {
	repeats *repeats
	places  []*place
	file    *place // one of them; nil: none
}

// Open makes a logger for lines of level and above. The caller closes the Output at the end
// of the process.
func Open(cfg Config, level zap.AtomicLevel) (*zap.Logger, *Output, error) {
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	enc.EncodeDuration = encodeDuration
	plain := encoder{Encoder: zapcore.NewConsoleEncoder(enc)}
	if cfg.JSON {
		plain.Encoder = zapcore.NewJSONEncoder(enc)
	}
	o := &Output{repeats: newRepeats()}
	var cores []zapcore.Core
	if cfg.Console {
		to := encoder{plain.Encoder, isJournal(os.Stderr)}
		cores = append(cores, zapcore.NewCore(to, o.place(to, "", os.Stderr), level))
	}
	if cfg.File != "" {
		file, err := openFile(cfg.File)
		if err != nil {
			return nil, nil, err
		}
		o.file = o.place(plain, cfg.File, file)
		cores = append(cores, zapcore.NewCore(plain, o.file, level))
	}
	log := zap.New(o.repeats.core(zapcore.NewTee(cores...)), zap.ErrorOutput(zapcore.AddSync(nowhere{})))
	return log, o, nil
}

func (o *Output) place(encoder zapcore.Encoder, path string, file *os.File) *place {
	p := newPlace(encoder, path, file)
	o.places = append(o.places, p)
	return p
}

// Reopen opens the log file anew, after another program has renamed it. After an error
// lines go on to the old one.
func (o *Output) Reopen() error {
	if o.file == nil {
		return nil
	}
	return o.file.reopen()
}

// Flush waits until the lines before are written, two seconds at most for each place.
func (o *Output) Flush() {
	for _, p := range o.places {
		_ = p.order(func() error { return nil })
	}
}

// Close writes what waits, and what was left out as a repetition, and closes the log file.
// A place that takes no lines for two seconds keeps what it has.
func (o *Output) Close() {
	o.repeats.flush()
	for _, p := range o.places {
		p.close()
	}
}

func openFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log.file: %w", err)
	}
	return file, nil
}

// nowhere takes what zap says about itself: places that take no lines report it.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// isJournal reports whether what is written to f goes to systemd's journal, see
// systemd.exec(5): $JOURNAL_STREAM has device and inode of the journal's socket.
func isJournal(f *os.File) bool {
	device, inode, _ := strings.Cut(os.Getenv("JOURNAL_STREAM"), ":")
	info, err := f.Stat()
	if err != nil || device == "" {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && device == strconv.FormatUint(st.Dev, 10) && inode == strconv.FormatUint(st.Ino, 10)
}
