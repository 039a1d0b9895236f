package app

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/config"
)

// NewLogger makes the one logger of the process, and level, which changes its
// level. Lines go to standard error and to a file, as configured; closeLog flushes
// them.
func NewLogger(cfg config.Log, level *zap.AtomicLevel) (log *zap.Logger, closeLog func(), err error) {
	if *level, err = zap.ParseAtomicLevel(cfg.Level); err != nil {
		return nil, nil, err
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if cfg.Format == "text" {
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	var outs []zapcore.WriteSyncer
	if cfg.Console {
		outs = append(outs, zapcore.Lock(os.Stderr))
	}
	var file *os.File
	if cfg.File != "" {
		if file, err = os.OpenFile(cfg.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return nil, nil, fmt.Errorf("log.file: %w", err)
		}
		outs = append(outs, zapcore.Lock(file))
	}
	log = zap.New(zapcore.NewCore(encoder, zapcore.NewMultiWriteSyncer(outs...), *level))
	return log, func() {
		_ = log.Sync() // some kinds of standard error cannot be synced
		if file != nil {
			_ = file.Close()
		}
	}, nil
}
