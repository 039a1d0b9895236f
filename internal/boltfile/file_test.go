package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var bucket = []byte("bucket")

// mustOpen opens a file that is whole.
func mustOpen(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// fill makes n records of different sizes, some over several pages, and removes every
// third of them.
func fill(t testing.TB, f *File, n int) {
	t.Helper()
	err := f.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucket)
		for i := 0; i < n && err == nil; i++ {
			size := i % 200
			if i%100 == 0 {
				size = 10_000
			}
			err = b.Put(key(i), bytes.Repeat([]byte{byte(i)}, size))
		}
		if err == nil {
			_, err = tx.CreateBucketIfNotExists([]byte("empty"))
		}
		return err
	})
	if err == nil {
		err = f.Update(func(tx *bbolt.Tx) (err error) {
			for i := 0; i < n && err == nil; i += 3 {
				err = tx.Bucket(bucket).Delete(key(i))
			}
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// key returns a key so long that few fit into a page.
func key(i int) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(i)*0x9E3779B97F4A7C15), make([]byte, 200)...)
}

// image returns the content of a file with three levels of pages and free ones.
func image(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	f := mustOpen(t, path)
	fill(t, f, 1000)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// useAll opens a file, reads and changes all of it, and closes it.
func useAll(path string) error {
	f, err := Open(path, time.Second)
	if err != nil {
		return err
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket(bucket) == nil {
			return nil
		}
		var keys [][]byte
		if err := tx.Bucket(bucket).ForEach(func(k, _ []byte) error { keys = append(keys, bytes.Clone(k)); return nil }); err != nil {
			return err
		}
		for _, k := range keys {
			if err := tx.Bucket(bucket).Put(k, []byte("new")); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, f.Close())
}

// TestDamagedFiles damages a file at random: it is opened and every use of it works, or it
// is ErrDamaged and stays as it is. bbolt alone ends the process by some of them.
func TestDamagedFiles(t *testing.T) {
	whole := image(t)
	const page = 4096
	pages := len(whole) / page
	kinds := map[string]func(r *rand.Rand, b []byte) []byte{
		"octets": func(r *rand.Rand, b []byte) []byte {
			for range 200 {
				b[r.IntN(len(b))] = byte(r.Uint32())
			}
			return b
		},
		"header or elements of a page": func(r *rand.Rand, b []byte) []byte {
			b[r.IntN(pages)*page+r.IntN(64)] ^= 1 << r.IntN(8)
			return b
		},
		"a page of zeros": func(r *rand.Rand, b []byte) []byte {
			clear(b[r.IntN(pages)*page:][:page])
			return b
		},
		"a page of garbage": func(r *rand.Rand, b []byte) []byte {
			for i, at := 0, r.IntN(pages)*page; i < page; i++ {
				b[at+i] = byte(r.Uint32())
			}
			return b
		},
		"a page in the place of another": func(r *rand.Rand, b []byte) []byte {
			copy(b[r.IntN(pages)*page:][:page], whole[r.IntN(pages)*page:])
			return b
		},
		"a number of a page": func(r *rand.Rand, b []byte) []byte {
			native.PutUint64(b[r.IntN(pages)*page+headerSize+elementSize*r.IntN(20)+8:], uint64(r.IntN(pages)))
			return b
		},
		"cut": func(r *rand.Rand, b []byte) []byte { return b[:1+r.IntN(len(b)-1)] },
		"cut to pages": func(r *rand.Rand, b []byte) []byte {
			return b[:page*(1+r.IntN(pages-1))]
		},
		"no database": func(r *rand.Rand, b []byte) []byte {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		},
	}
	for name, damage := range kinds {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			found := 0
			path := filepath.Join(t.TempDir(), "db")
			for i := range 24 {
				b := damage(r, bytes.Clone(whole))
				if err := os.WriteFile(path, b, 0o600); err != nil {
					t.Fatal(err)
				}
				err := useAll(path)
				if err == nil {
					continue
				}
				found++
				after, _ := os.ReadFile(path)
				if !errors.Is(err, ErrDamaged) || !bytes.Equal(after, b) {
					t.Fatalf("damage %d: %v, changed: %v", i, err, !bytes.Equal(after, b))
				}
			}
			if found == 0 {
				t.Error("no damage was found")
			}
			t.Logf("%d of 24 files are damaged", found)
		})
	}
}

// TestWholeFiles has files that are right.
func TestWholeFiles(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{0, 1, 3, 50, 1000} {
		path := filepath.Join(dir, fmt.Sprint(n))
		for range 3 {
			f := mustOpen(t, path)
			fill(t, f, n)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if err := useAll(path); err != nil {
			t.Errorf("%d records: %v", n, err)
		}
	}
	path := filepath.Join(dir, "empty")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := useAll(path); err != nil {
		t.Errorf("empty: %v", err)
	}
	path = filepath.Join(dir, "unlisted")
	unlisted, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err == nil {
		err = unlisted.Close()
	}
	if err = errors.Join(err, useAll(path)); err != nil {
		t.Errorf("without a list of free pages: %v", err)
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	f := mustOpen(t, path)
	defer f.Close()
	if _, err := Open(path, time.Millisecond); !errors.Is(err, ErrInUse) {
		t.Errorf("error %v", err)
	}
}

// TestFaultInUse cuts a file that is open, as a failing disk or another program would: the
// operation at which bbolt faults, those at the same time, and all later ones return ErrLost.
func TestFaultInUse(t *testing.T) {
	read := func(tx *bbolt.Tx) error { return tx.Bucket(bucket).ForEach(func(_, _ []byte) error { return nil }) }
	change := func(tx *bbolt.Tx) error { return tx.Bucket(bucket).Put(key(1), []byte("x")) }
	uses := map[string]func(f *File) error{
		"view":   func(f *File) error { return f.View(read) },
		"update": func(f *File) error { return f.Update(change) },
		"batch":  func(f *File) error { return f.Batch(change) },
	}
	for first, use := range uses {
		t.Run(first, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			f := mustOpen(t, path)
			fill(t, f, 1000)
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if err := use(f); !errors.Is(err, ErrLost) {
						t.Errorf("during the fault: %v", err)
					}
				})
			}
			all.Wait()
			for name, use := range uses {
				if err := use(f); !errors.Is(err, ErrLost) {
					t.Errorf("%s after the fault: %v", name, err)
				}
			}
			if err := f.Close(); !errors.Is(err, ErrLost) || !errors.Is(f.Lost(), ErrLost) {
				t.Errorf("Close: %v, Lost: %v", err, f.Lost())
			}
		})
	}
}

// TestBatchLeavesFailuresOut has a change that fails among others that share its write.
func TestBatchLeavesFailuresOut(t *testing.T) {
	f := mustOpen(t, filepath.Join(t.TempDir(), "db"))
	defer f.Close()
	fill(t, f, 1)
	refused := errors.New("refused")
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			err := f.Batch(func(tx *bbolt.Tx) error {
				if i%7 == 0 {
					return refused
				}
				return tx.Bucket(bucket).Put([]byte{byte(i)}, []byte("x"))
			})
			if want := i%7 == 0; errors.Is(err, refused) != want || err != nil && !want {
				t.Errorf("change %d: %v", i, err)
			}
		})
	}
	all.Wait()
	err := f.View(func(tx *bbolt.Tx) error {
		for i := range 20 {
			if there := tx.Bucket(bucket).Get([]byte{byte(i)}) != nil; there == (i%7 == 0) {
				t.Errorf("change %d: there: %v", i, there)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzCheck has a file of any content: no fault, whatever the check says.
func FuzzCheck(f *testing.F) {
	path := filepath.Join(f.TempDir(), "db")
	db := mustOpen(f, path)
	fill(f, db, 3)
	if err := db.Close(); err != nil {
		f.Fatal(err)
	}
	small, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small, uint16(0), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, with uint64) {
		if len(b) >= 8 {
			native.PutUint64(b[int(at)%(len(b)-7):], with)
		}
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := useAll(path); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
}
