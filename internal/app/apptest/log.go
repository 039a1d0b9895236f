package apptest

import (
	"bytes"
	"sync"
)

// Log keeps log lines; Stack.WaitLog waits for them.
type Log struct {
	mu    sync.Mutex
	lines bytes.Buffer
	more  chan struct{} // closed when there is more
}

func newLog() *Log { return &Log{more: make(chan struct{})} }

// Write implements zapcore.WriteSyncer.
func (b *Log) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines.Write(p)
	close(b.more)
	b.more = make(chan struct{})
	return len(p), nil
}

// Sync implements zapcore.WriteSyncer.
func (b *Log) Sync() error { return nil }

// Text returns all lines so far.
func (b *Log) Text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}
