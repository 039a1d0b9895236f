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
	log     *zap.Logger
	repeats *repeats
	file    *place // nil: none
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
		cores = append(cores, zapcore.NewCore(to, &place{encoder: to, file: os.Stderr}, level))
	}
	if cfg.File != "" {
		file, err := openFile(cfg.File)
		if err != nil {
			return nil, nil, err
		}
		o.file = &place{encoder: plain, path: cfg.File, file: file}
		cores = append(cores, zapcore.NewCore(plain, o.file, level))
	}
	o.log = zap.New(o.repeats.core(zapcore.NewTee(cores...)), zap.ErrorOutput(zapcore.AddSync(nowhere{})))
	return o.log, o, nil
}

// Reopen opens the log file anew, after another program has renamed it. After an error
// lines go on to the old one.
func (o *Output) Reopen() error {
	if o.file == nil {
		return nil
	}
	return o.file.reopen()
}

// Close writes what was left out as a repetition, and closes the log file.
func (o *Output) Close() {
	o.repeats.flush()
	_ = o.log.Sync() // some kinds of standard error cannot be synced
	if o.file != nil {
		o.file.close()
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
