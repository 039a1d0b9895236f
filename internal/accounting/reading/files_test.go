package reading

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// packed returns text as gzip or zstd packs it.
func packed(t *testing.T, text string, zstandard bool) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if zstandard {
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFiles reads a directory with a file that is written, renamed and compressed ones, and
// others, and the same through other arguments.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string][]byte{
		"accounting-2026-11-28T00-00-00.000-time.csv.gz":  packed(t, "type,rcpt\nd,1@x\n", false),
		"accounting-2026-11-29T00-00-00.000-size.csv.zst": packed(t, "type,rcpt\nd,2@x\n", true),
		"accounting-2026-11-30T00-00-00.000-size.csv":     []byte("type,rcpt\nd,3@x\n"),
		"accounting.csv": []byte("type,rcpt\nd,4@x\n"),
		"proxy.log":      []byte("hello\n"),
		"state":          make([]byte, 4096),
		"empty":          nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "inner.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{dir}, {filepath.Join(dir, "acc*")}, {dir, filepath.Join(dir, "accounting.csv")},
		{filepath.Join(dir, "accounting-*"), filepath.Join(dir, "accounting.csv")},
	} {
		files, err := Files(args)
		if err != nil {
			t.Fatal(err)
		}
		var got, damaged []string
		r := Reader{
			Record:  func(w *Row) { got = append(got, w.Get(Rcpt)) },
			Damaged: func(at Place, err error) { damaged = append(damaged, at.String()) },
		}
		for _, f := range files {
			if err := r.File(f); err != nil && !errors.Is(err, ErrForeign) && !errors.Is(err, ErrAgain) {
				t.Error(err)
			}
		}
		if want := []string{"1@x", "2@x", "3@x", "4@x"}; !slices.Equal(got, want) || damaged != nil {
			t.Errorf("%q: %q, damaged %q", args, got, damaged)
		}
	}
	for _, arg := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "none*"), "["} {
		if files, err := Files([]string{arg, dir}); err == nil || len(files) != 6 {
			t.Errorf("%s: %v, %d files", arg, err, len(files))
		}
	}
}

// TestSame: a file under another name is the same, a copy is not.
func TestSame(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "a.csv"), filepath.Join(dir, "b.csv")
	if err := os.WriteFile(path, []byte("type\nd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	records := 0
	r := Reader{Record: func(*Row) { records++ }}
	if err := r.File(File{Name: path}); err != nil {
		t.Error(err)
	}
	if err := r.File(File{Name: link}); !errors.Is(err, ErrAgain) || records != 1 {
		t.Errorf("%v, %d records", err, records)
	}
}

// TestBrokenArchives: what can be read of an archive that is cut off or damaged is read.
func TestBrokenArchives(t *testing.T) {
	text := "type,rcpt\n" + string(bytes.Repeat([]byte("d,someone@example.com\n"), 1000))
	for _, zstandard := range []bool{false, true} {
		whole := packed(t, text, zstandard)
		for _, content := range [][]byte{whole[:len(whole)/2], whole[:5], append(slices.Clone(whole[:len(whole)-9]), make([]byte, 9)...)} {
			path := filepath.Join(t.TempDir(), "a")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			r := Reader{Record: func(*Row) {}, Damaged: func(Place, error) {}}
			if err := r.File(File{Name: path}); err == nil {
				t.Errorf("zstd %v: %d of %d octets are read without an error", zstandard, len(content), len(whole))
			}
		}
	}
}
