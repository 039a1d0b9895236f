package main

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/config"
)

// newLogger makes the one logger of the process. Lines go to standard error
// and to a file, as configured; closeLog flushes them.
func newLogger(cfg config.Log) (log *zap.Logger, closeLog func(), err error) {
	level, err := zapcore.ParseLevel(cfg.Level)
	if err != nil {
		return nil, nil, fmt.Errorf("log.level: %w", err)
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
	log = zap.New(zapcore.NewCore(encoder, zapcore.NewMultiWriteSyncer(outs...), level))
	return log, func() {
		_ = log.Sync() // standard error cannot always be synced
		if file != nil {
			_ = file.Close()
		}
	}, nil
}
