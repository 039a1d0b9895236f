package frames

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	a, b, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = a.Close(), b.Close() })
	return a, b
}

func timely(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// echo answers by what it was asked, and by the names that it reads from the files.
func echo(m *Message) {
	var text string
	if m.Kind != "echo" {
		_ = m.Answer(nil, ErrUnknown)
		return
	}
	err := m.Body(&text)
	for _, f := range m.Files {
		b, wrong := io.ReadAll(f)
		err = errors.Join(err, wrong)
		text += string(b)
	}
	if text == "fail" {
		err = errors.New("as it was told")
	}
	_ = m.Answer(text, err, m.Files...)
	closeAll(m.Files)
}

func TestAsk(t *testing.T) {
	a, b := pair(t)
	here, there := New(a, echo), New(b, echo)
	defer here.Close()
	defer there.Close()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("of a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20)
	for _, text := range []string{"", "short", big} {
		for files := range 3 {
			var list []*os.File
			for range files {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, f)
			}
			var got string
			back, err := here.Ask(timely(t), "echo", text, &got, list...)
			closeAll(list)
			if want := text + strings.Repeat("of a file", files); err != nil || got != want || len(back) != files {
				t.Errorf("%d octets with %d files: %d octets, %d files, %v", len(want), files, len(got), len(back), err)
			}
			closeAll(back)
		}
	}
	if _, err := there.Ask(timely(t), "echo", "fail", nil); err == nil || err.Error() != "as it was told" {
		t.Error(err)
	}
	if _, err := there.Ask(timely(t), "poem", nil, nil); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	_ = there.Close()
	if _, err := here.Ask(timely(t), "echo", "", nil); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	<-here.Gone()
	if err := here.Tell("echo", ""); !errors.Is(err, ErrGone) || !errors.Is(here.Err(), ErrGone) {
		t.Error(err)
	}
}

// TestDeadline: who asks a process that hangs has an answer by its deadline.
func TestDeadline(t *testing.T) {
	a, _ := pair(t)
	here := New(a, echo)
	defer here.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := here.Ask(ctx, "echo", "", nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	here.most = 1 << 20
	for err := error(nil); !errors.Is(err, ErrFull); err = here.Tell("echo", strings.Repeat("x", 1<<16)) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestGarbage: what is no message ends the connection.
func TestGarbage(t *testing.T) {
	for name, octets := range map[string]string{
		"a size beyond the bound": "\x7f\xff\xff\xff" + strings.Repeat("\x00", 12),
		"flags of no version":     "\x00\x00\x00\x00\x00\x00\x80\x00" + strings.Repeat("\x00", 8),
		"no JSON":                 "\x00\x00\x00\x01" + strings.Repeat("\x00", 12) + "?",
		"descriptors that lack":   "\x00\x00\x00\x02\x00\x01" + strings.Repeat("\x00", 10) + "{}",
	} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t)
			here := New(a, echo)
			defer here.Close()
			if _, err := b.Write([]byte(octets)); err != nil {
				t.Fatal(err)
			}
			select {
			case <-here.Gone():
			case <-timely(t).Done():
				t.Error("the connection stands")
			}
		})
	}
}
