package logging

import (
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// encodeDuration writes a duration as "1.5s", in at most six digits.
func encodeDuration(d time.Duration, to zapcore.PrimitiveArrayEncoder) {
	switch size := d.Abs(); {
	case size >= time.Minute:
		d = d.Round(time.Second)
	case size >= time.Second:
		d = d.Round(time.Millisecond)
	case size >= time.Millisecond:
		d = d.Round(time.Microsecond)
	}
	to.AppendString(d.String())
}

// encoder leaves out fields that are empty texts.
type encoder struct {
	zapcore.Encoder
	priority bool // a line begins with its priority, for the journal
}

// Clone implements zapcore.Encoder.
func (e encoder) Clone() zapcore.Encoder { return encoder{e.Encoder.Clone(), e.priority} }

// AddString implements zapcore.ObjectEncoder, for the fields of With.
func (e encoder) AddString(key, value string) {
	if value != "" {
		e.Encoder.AddString(key, value)
	}
}

// EncodeEntry implements zapcore.Encoder.
func (e encoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	if slices.ContainsFunc(fields, isEmpty) {
		fields = slices.DeleteFunc(slices.Clone(fields), isEmpty)
	}
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil || !e.priority {
		return line, err
	}
	defer line.Free()
	to := lines.Get()
	to.AppendByte('<')
	to.AppendString(strconv.Itoa(priorityOf(entry.Level)))
	to.AppendByte('>')
	_, _ = to.Write(line.Bytes())
	return to, nil
}

var lines = buffer.NewPool()

func isEmpty(f zapcore.Field) bool { return f.Type == zapcore.StringType && f.String == "" }

// priorityOf returns the priority of syslog(3) for a level.
func priorityOf(l zapcore.Level) int {
	switch {
	case l >= zapcore.DPanicLevel:
		return 2
	case l == zapcore.ErrorLevel:
		return 3
	case l == zapcore.WarnLevel:
		return 4
	case l == zapcore.InfoLevel:
		return 6
	}
	return 7
}
