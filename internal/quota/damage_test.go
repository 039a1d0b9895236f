package quota

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"xoauth2-proxy/internal/boltfile"
)

// sample makes a file with the counts of 300 accounts, and returns the directory, the path
// and the content.
func sample(t *testing.T) (dir, path string, content []byte) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, FileName)
	s := mustOpen(t, dir)
	now := time.Now().Unix() / 3600
	for i := range 300 {
		for back := range int64(10) {
			s.Save(fmt.Sprintf("account-%d@example.com", i), now-back, 1, 2)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path, content
}

// TestStartWithDamage starts with files that are damaged at random. Each is taken as it is,
// or kept under another name while counts begin anew; the start never fails.
func TestStartWithDamage(t *testing.T) {
	const page = 4096
	kinds := map[string]func(r *rand.Rand, b []byte) []byte{
		"cut":             func(r *rand.Rand, b []byte) []byte { return b[:1+r.IntN(len(b)-1)] },
		"cut to pages":    func(r *rand.Rand, b []byte) []byte { return b[:page*(1+r.IntN(len(b)/page-1))] },
		"a page of zeros": func(r *rand.Rand, b []byte) []byte { clear(b[page*r.IntN(len(b)/page):][:page]); return b },
		"bits of a header": func(r *rand.Rand, b []byte) []byte {
			b[page*r.IntN(len(b)/page)+r.IntN(48)] ^= 1 << r.IntN(8)
			return b
		},
		"octets": func(r *rand.Rand, b []byte) []byte {
			for range 20 {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			return b
		},
	}
	for name, damage := range kinds {
		t.Run(name, func(t *testing.T) {
			dir, path, whole := sample(t)
			r := rand.New(rand.NewPCG(3, 4))
			anew := 0
			for i := range 24 {
				b := damage(r, bytes.Clone(whole))
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				s, damaged, err := Open(dir)
				if err != nil {
					t.Fatalf("file %d: %v", i, err)
				}
				if damaged != "" {
					anew++
					if kept, err := os.ReadFile(damaged); err != nil || !bytes.Equal(kept, b) || len(s.hours) != 0 {
						t.Errorf("file %d: %v, %d accounts", i, err, len(s.hours))
					}
					_ = os.Remove(damaged)
				}
				s.Save("new", time.Now().Unix()/3600, 1, 1)
				if err := s.Close(); err != nil {
					t.Errorf("file %d: %v", i, err)
				}
			}
			if anew == 0 {
				t.Error("no file was damaged")
			}
		})
	}
}

// TestBreaksWhileInUse cuts the file of a running proxy: it is kept, and a new one gets all
// counts, those too that were in the old one.
func TestBreaksWhileInUse(t *testing.T) {
	dir, path, _ := sample(t)
	s := mustOpen(t, dir)
	var kept string
	var why error
	s.Replaced = func(name string, err error) { kept, why = name, err }
	now := time.Now().Unix() / 3600
	want := load(s, "account-7@example.com")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	s.Save("account-8@example.com", now, 5, 6)
	if err := s.Flush(); err != nil || s.Failing() != nil {
		t.Fatalf("%v, %v", err, s.Failing())
	}
	if !strings.HasSuffix(kept, ".damaged") || !errors.Is(why, boltfile.ErrLost) {
		t.Errorf("kept as %q, because of %v", kept, why)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, dir)
	defer s.Close()
	if got := load(s, "account-7@example.com"); !maps.Equal(got, want) || len(got) != 10 {
		t.Errorf("counts %v, before %v", got, want)
	}
	if got := load(s, "account-8@example.com")[now]; got != (counts{5, 6}) {
		t.Errorf("newest count %v", got)
	}
}

// TestFormats has files with and without a number of the format.
func TestFormats(t *testing.T) {
	for _, tt := range []struct {
		version string
		want    error
	}{{"", nil}, {"1", nil}, {"2", ErrVersion}, {"", nil}} {
		dir, path, _ := sample(t)
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			if tt.version == "" {
				return tx.DeleteBucket(bucketMeta)
			}
			return tx.Bucket(bucketMeta).Put(keyVersion, []byte(tt.version))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(path)
		s, damaged, err := Open(dir)
		if !errors.Is(err, tt.want) || damaged != "" {
			t.Errorf("format %q: error %v, damaged %q", tt.version, err, damaged)
		}
		if err != nil {
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Errorf("format %q: the file was changed", tt.version)
			}
			continue
		}
		if got := load(s, "account-7@example.com"); len(got) != 10 {
			t.Errorf("format %q: counts %v", tt.version, got)
		}
		_ = s.Close()
	}
}

// TestFileOfAnEarlierVersion reads a file that the program of commit 087ade6 wrote, at the
// time that it was written.
func TestFileOfAnEarlierVersion(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	content, err := os.ReadFile("../app/testdata/state-087ade6/clear/state/quota.db")
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	db, err := openFile(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	written := time.Date(2026, time.November, 30, 12, 30, 0, 0, time.UTC)
	s := &Store{path: path, db: db, now: func() time.Time { return written }, hours: make(map[string]map[int64]counts), unsaved: make(map[hour]counts)}
	if err := s.read(); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, id := range []string{"gmail_user_gmail_com", "outlook_user_outlook_com", "gmail_user2_gmail_com"} {
		if got, want := load(s, id), (map[int64]counts{written.Unix() / 3600: {1, 2}}); !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
}
