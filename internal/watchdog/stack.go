package watchdog

import (
	"bytes"
	"fmt"
	"regexp"
	"runtime"
)

const (
	// firstDump and maxDump are the first and the largest size, in octets, of the
	// buffer for the stacks of all goroutines.
	firstDump = 256 << 10
	maxDump   = 32 << 20
	// maxStack is how much of them is logged, in octets.
	maxStack = 16 << 10
)

// stackOf returns the stack of the goroutine that works on t. If several are in its
// function and cannot be told apart, it returns them all; if none is, those of all
// goroutines. Arguments are left out: they are numbers without meaning for a reader, and
// might be a secret's.
func stackOf(t Task) string {
	all := goroutines()
	var found [][]byte
	if t.On != nil {
		found = in(all, fmt.Sprintf("%s(%p", t.Func, t.On))
	}
	if found == nil && t.Func != "" {
		found = in(all, t.Func+"(")
	}
	if found == nil {
		found = all
	}
	text := arguments.ReplaceAll(bytes.Join(found, []byte("\n\n")), []byte("${1}(...)"))
	return string(text[:min(len(text), maxStack)])
}

// arguments are those of one call in a stack.
var arguments = regexp.MustCompile(`(?m)^(\S.*)\([^()]*\)$`)

// goroutines returns the stacks of all goroutines.
func goroutines() [][]byte {
	for size := firstDump; ; size *= 4 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size || size >= maxDump {
			return bytes.Split(bytes.TrimSpace(b[:n]), []byte("\n\n"))
		}
	}
}

// in returns the stacks that have a call like that.
func in(all [][]byte, call string) (found [][]byte) {
	for _, g := range all {
		if bytes.Contains(g, []byte(call)) {
			found = append(found, g)
		}
	}
	return found
}
