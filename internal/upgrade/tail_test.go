package upgrade

import (
	"io"
	"strings"
	"testing"
)

// TestTail: the operator sees the last lines that tell of something wrong, and the log has all.
func TestTail(t *testing.T) {
	long := strings.Repeat("x", 2*tailWidth)
	for _, tt := range []struct{ stderr, want string }{
		{"", ""},
		{"cannot load\n\n", "cannot load"},
		{"no newline", "no newline"},
		{`{"level":"info","msg":"a"}` + "\n" + `<3>{"level":"error","msg":"b"}` + "\n" + `<6>{"level":"info","msg":"c"}` + "\n", `{"level":"error","msg":"b"}`},
		{"12:00\tinfo\ta\n12:01\twarn\tb\n12:02\tdebug\tc\n", "12:01\twarn\tb"},
		{`{"level":"info","msg":"a"}` + "\n", `{"level":"info","msg":"a"}`},
		{long, long[:tailWidth]},
		{strings.Repeat("old\n", 100) + strings.Repeat("new\n", tailLines), strings.TrimSuffix(strings.Repeat("new\n", tailLines), "\n")},
	} {
		var log strings.Builder
		tail := newTail(io.NopCloser(strings.NewReader(tt.stderr)), &log)
		<-tail.ended
		if got := tail.text(); got != tt.want {
			t.Errorf("%q: %q", tt.stderr, got)
		}
		if log.String() != tt.stderr {
			t.Errorf("the log has %q of %q", log.String(), tt.stderr)
		}
	}
}
