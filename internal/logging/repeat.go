package logging

import (
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	// burst is how many of the same lines are logged in a window.
	burst = 5
	// window is how long lines are counted before a line says how many were left out.
	window = time.Minute
	// maxSeen bounds the lines that are remembered; others are logged, however often.
	maxSeen = 4096
)

// repeats remembers warnings and errors.
type repeats struct {
	seed maphash.Seed

	mu   sync.Mutex // guards seen; a leaf
	seen map[uint64]*repetition
}

// repetition is a line that was seen in the current window.
type repetition struct {
	number int
	timer  *time.Timer
	entry  zapcore.Entry
	fields []zapcore.Field // the texts of it
	core   zapcore.Core
}

func newRepeats() *repeats {
	return &repeats{seed: maphash.MakeSeed(), seen: make(map[uint64]*repetition)}
}

// core returns next without repetitions.
func (r *repeats) core(next zapcore.Core) zapcore.Core { return repeatCore{Core: next, of: r} }

// repeatCore is a core without repetitions.
type repeatCore struct {
	zapcore.Core
	of   *repeats
	with []zapcore.Field // texts
}

// With implements zapcore.Core.
func (c repeatCore) With(fields []zapcore.Field) zapcore.Core {
	return repeatCore{c.Core.With(fields), c.of, slices.Concat(c.with, texts(fields))}
}

// Check implements zapcore.Core.
func (c repeatCore) Check(e zapcore.Entry, to *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return to.AddCore(e, c)
	}
	return to
}

// Write implements zapcore.Core.
func (c repeatCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if (e.Level == zapcore.WarnLevel || e.Level == zapcore.ErrorLevel) && c.of.repeated(c, e, texts(fields)) {
		return nil
	}
	return c.Core.Write(e, fields)
}

// repeated reports whether a line is to be left out.
func (r *repeats) repeated(c repeatCore, e zapcore.Entry, said []zapcore.Field) bool {
	key := r.keyOf(e, c.with, said)
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.seen[key]
	if of == nil {
		if len(r.seen) < maxSeen {
			of = &repetition{entry: e, fields: said, core: c.Core}
			of.timer = time.AfterFunc(window, func() { r.end(key) })
			r.seen[key] = of
		}
		return false
	}
	of.number++
	return of.number >= burst
}

// end forgets a line, and says how often it was left out.
func (r *repeats) end(key uint64) {
	r.mu.Lock()
	of := r.seen[key]
	delete(r.seen, key)
	r.mu.Unlock()
	if of != nil {
		of.tell()
	}
}

// tell writes how often a line was left out.
func (of *repetition) tell() {
	if left := of.number - burst + 1; left > 0 {
		of.entry.Time, of.entry.Stack = time.Now(), ""
		_ = of.core.Write(of.entry, append(of.fields, zap.Int("repeated", left)))
	}
}

// flush ends all windows.
func (r *repeats) flush() {
	r.mu.Lock()
	all := r.seen
	r.seen = make(map[uint64]*repetition)
	r.mu.Unlock()
	for _, of := range all {
		of.timer.Stop()
		of.tell()
	}
}

// keyOf returns the same key for lines that say the same.
func (r *repeats) keyOf(e zapcore.Entry, parts ...[]zapcore.Field) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	_ = h.WriteByte(byte(e.Level))
	put := func(s string) { _, _ = h.WriteString(s); _ = h.WriteByte(0) }
	put(e.LoggerName)
	put(e.Message)
	for _, fields := range parts {
		for _, f := range fields {
			put(f.Key)
			put(f.String)
		}
	}
	return h.Sum64()
}

// texts returns the fields that are no numbers, durations or times, each as a text.
func texts(fields []zapcore.Field) (said []zapcore.Field) {
	for _, f := range fields {
		switch f.Type {
		case zapcore.StringType:
			said = append(said, f)
		case zapcore.ErrorType, zapcore.BoolType, zapcore.StringerType, zapcore.ArrayMarshalerType,
			zapcore.ObjectMarshalerType, zapcore.ByteStringType, zapcore.ReflectType:
			to := zapcore.NewMapObjectEncoder()
			f.AddTo(to)
			said = append(said, zap.String(f.Key, fmt.Sprint(to.Fields[f.Key])))
		}
	}
	return said
}
