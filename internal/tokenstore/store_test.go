package tokenstore

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

func TestMain(m *testing.M) {
	if os.Getenv(childURL) != "" {
		os.Exit(rotate())
	}
	goleak.VerifyTestMain(m)
}

func keyring(t testing.TB, keys ...string) *seal.Keyring {
	t.Helper()
	kr, err := seal.ParseKeyring(strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func storePath(t testing.TB) string { return filepath.Join(t.TempDir(), "state", "tokens.db") }

func mustOpen(t testing.TB, path string, keys *seal.Keyring) *Store {
	t.Helper()
	s, err := Open(Config{Path: path, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func chain(id string, n byte) oauth.Chain {
	c := oauth.Chain{AccountID: id}
	c.Fingerprint[0], c.Fingerprint[31] = n, n
	return c
}

func testRecord(n int) oauth.Record {
	at := time.Unix(1_800_000_000+int64(n), 0).UTC()
	r := oauth.Record{Refresh: account.NewSecret(fmt.Sprintf("refresh-CANARY-%d", n)), Rotated: at, Access: account.NewSecret("access-CANARY"),
		Refreshed: at, Expiry: at.Add(time.Hour), Seen: at,
		RefreshEnds: at.Add(7 * 24 * time.Hour), RefreshRolls: n%2 == 1, Generation: uint64(n), Spare: account.NewSecret(fmt.Sprintf("spare-%d", n))}
	r.Credentials[3] = byte(n)
	return r
}

func mustSave(t testing.TB, s *Store, c oauth.Chain, r oauth.Record) {
	t.Helper()
	if err := s.Save(c, r); err != nil {
		t.Fatal(err)
	}
}

func mustHave(t testing.TB, s *Store, c oauth.Chain, want oauth.Record) {
	t.Helper()
	if got, ok, err := s.Load(c); err != nil || !ok || got != want {
		t.Errorf("Load of %s = %+v, %v, %v", c.AccountID, got, ok, err)
	}
}

func TestSaveLoad(t *testing.T) {
	for name, keys := range map[string]*seal.Keyring{"clear": nil, "sealed": keyring(t, seal.GenerateKey())} {
		t.Run(name, func(t *testing.T) {
			path := storePath(t)
			s := mustOpen(t, path, keys)
			if _, ok, err := s.Load(chain("a", 1)); ok || err != nil {
				t.Errorf("Load of nothing: %v, %v", ok, err)
			}
			mustSave(t, s, chain("a", 1), testRecord(1))
			mustSave(t, s, chain("ab", 1), testRecord(2))
			mustSave(t, s, chain("", 1), oauth.Record{Seen: testRecord(3).Seen})
			mustHave(t, s, chain("a", 1), testRecord(1))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, path, keys)
			mustHave(t, s, chain("a", 1), testRecord(1))
			mustHave(t, s, chain("ab", 1), testRecord(2))
			mustHave(t, s, chain("", 1), oauth.Record{Seen: testRecord(3).Seen})
			file, err := os.ReadFile(path)
			if err != nil || bytes.Contains(file, []byte("CANARY")) == keys.CanSeal() {
				t.Errorf("%v; tokens in clear in the file: %v", err, !keys.CanSeal())
			}
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
				t.Errorf("files beside the store: %v", entries)
			}
		})
	}
}

// New credentials of an account end its old chain, and no other account's.
func TestNewChainReplacesOld(t *testing.T) {
	s := mustOpen(t, storePath(t), nil)
	for _, id := range []string{"a", "b", "aa", ""} {
		mustSave(t, s, chain(id, 1), testRecord(1))
	}
	mustSave(t, s, chain("a", 2), testRecord(2))
	if _, ok, _ := s.Load(chain("a", 1)); ok {
		t.Error("the old chain is still there")
	}
	mustHave(t, s, chain("a", 2), testRecord(2))
	for _, id := range []string{"b", "aa", ""} {
		mustHave(t, s, chain(id, 1), testRecord(1))
	}
	if n, err := s.Len(); n != 4 || err != nil {
		t.Errorf("%d chains, %v", n, err)
	}
}

func TestRetain(t *testing.T) {
	s := mustOpen(t, storePath(t), nil)
	now := time.Unix(1_800_000_000, 0)
	s.now = func() time.Time { return now }
	for _, id := range []string{"stays", "goes", "returns"} {
		mustSave(t, s, chain(id, 1), testRecord(1))
	}
	retain := func(after time.Duration, live ...string) {
		t.Helper()
		now = now.Add(after)
		if err := s.Retain(func(c oauth.Chain) bool { return strings.Contains(strings.Join(live, " "), c.AccountID) }); err != nil {
			t.Fatal(err)
		}
	}
	retain(0, "stays")
	retain(OrphanAge/2, "stays", "returns")
	retain(OrphanAge/2-time.Hour, "stays")
	if n, _ := s.Len(); n != 3 {
		t.Errorf("%d chains before the time, want 3", n)
	}
	retain(2*time.Hour, "stays")
	if _, ok, _ := s.Load(chain("goes", 1)); ok {
		t.Error("the chain of a removed account is still there")
	}
	mustHave(t, s, chain("returns", 1), testRecord(1)) // its time began anew
	mustHave(t, s, chain("stays", 1), testRecord(1))
}

// TestRetainForgetsSpent has access tokens of chains that are gone, as of mailboxes
// of catch-all accounts: once one has expired and no refresh token is with it,
// nothing of it is kept.
func TestRetainForgetsSpent(t *testing.T) {
	for _, keys := range []*seal.Keyring{nil, keyring(t, seal.GenerateKey())} {
		s := mustOpen(t, storePath(t), keys)
		now := time.Unix(1_800_000_000, 0).UTC()
		s.now = func() time.Time { return now }
		access := oauth.Record{Access: account.NewSecret("A"), Refreshed: now, Expiry: now.Add(time.Hour), Seen: now}
		rotated := access
		rotated.Refresh, rotated.Rotated = account.NewSecret("R"), now
		mustSave(t, s, chain("app/live@example.com", 1), access)
		mustSave(t, s, chain("app/gone@example.com", 1), access)
		mustSave(t, s, chain("rotated", 1), rotated)
		mustSave(t, s, chain("new", 1), oauth.Record{Seen: now})
		for _, want := range []int{4, 3} {
			if err := s.Retain(func(c oauth.Chain) bool { return c.AccountID == "app/live@example.com" }); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Len(); n != want || err != nil {
				t.Errorf("%d chains, want %d (%v)", n, want, err)
			}
			now = now.Add(2 * time.Hour)
		}
		if _, ok, _ := s.Load(chain("app/gone@example.com", 1)); ok {
			t.Error("an expired access token of no account is kept")
		}
		mustHave(t, s, chain("rotated", 1), rotated)
	}
}

// Many saves at one time share their writes to the disk.
func TestSavesShareWrites(t *testing.T) {
	s := mustOpen(t, storePath(t), keyring(t, seal.GenerateKey()))
	writes := func() (id int) {
		s.db.View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	before := writes()
	const n = 500
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { mustSave(t, s, chain(fmt.Sprint("acct", i), 1), testRecord(i)) })
	}
	wg.Wait()
	if w := writes() - before; w > n/5 {
		t.Errorf("%d writes for %d saves", w, n)
	}
	for i := range n {
		mustHave(t, s, chain(fmt.Sprint("acct", i), 1), testRecord(i))
	}
}

func TestKeyChanges(t *testing.T) {
	path, first, second := storePath(t), seal.GenerateKey(), seal.GenerateKey()
	open := func(keys *seal.Keyring) *Store { t.Helper(); return mustOpen(t, path, keys) }
	inClear := func() bool {
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(file, []byte("CANARY"))
	}
	s := open(nil)
	mustSave(t, s, chain("a", 1), testRecord(1))
	s.Close()
	// A key is configured.
	s = open(keyring(t, first))
	if inClear() {
		t.Error("tokens in clear are left in the file")
	}
	mustHave(t, s, chain("a", 1), testRecord(1))
	mustSave(t, s, chain("b", 1), testRecord(2))
	s.Close()
	// It is rotated.
	s = open(keyring(t, second, first))
	mustHave(t, s, chain("a", 1), testRecord(1))
	s.Close()
	s = open(keyring(t, second))
	mustHave(t, s, chain("a", 1), testRecord(1))
	mustHave(t, s, chain("b", 1), testRecord(2))
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("files beside the store: %v", entries)
	}
}

// An empty store takes part in a rotation.
func TestKeyChangesWithoutTokens(t *testing.T) {
	path, first, second := storePath(t), seal.GenerateKey(), seal.GenerateKey()
	for _, keys := range []*seal.Keyring{nil, keyring(t, first), keyring(t, second, first), keyring(t, second)} {
		mustOpen(t, path, keys).Close()
	}
	if _, err := Open(Config{Path: path, Keys: keyring(t, first)}); !errors.Is(err, ErrSealed) {
		t.Errorf("with the old key: %v", err)
	}
}

// A store that cannot be read is left as it is, with an error that says what to
// do and shows no token.
func TestOpenRefuses(t *testing.T) {
	sealedBy := seal.GenerateKey()
	good := func(t *testing.T) (path string) {
		path = storePath(t)
		s := mustOpen(t, path, keyring(t, sealedBy))
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { mustSave(t, s, chain(fmt.Sprint("acct", i), 1), testRecord(i)) })
		}
		wg.Wait()
		s.Close()
		return path
	}
	overwrite := func(at int64, with []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt(with, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	inDB := func(change func(tx *bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := db.Update(change); err != nil {
				t.Fatal(err)
			}
		}
	}
	key := func(n int) []byte { k, _ := keyOf(chain(fmt.Sprint("acct", n), 1)); return k }
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
		keys   []string
		want   error
	}{
		{"wrong key", nil, []string{seal.GenerateKey()}, ErrSealed},
		{"no key", nil, nil, ErrSealed},
		{"cut to half", func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			if err := os.Truncate(path, info.Size()/2); err != nil {
				t.Fatal(err)
			}
		}, []string{sealedBy}, ErrDamaged},
		{"cut to one page", func(t *testing.T, path string) { os.Truncate(path, 4096) }, []string{sealedBy}, ErrDamaged},
		{"cut to nothing much", func(t *testing.T, path string) { os.Truncate(path, 10) }, []string{sealedBy}, ErrDamaged},
		{"both meta pages", func(t *testing.T, path string) {
			overwrite(0, bytes.Repeat([]byte{0xff}, 8192))(t, path)
		}, []string{sealedBy}, ErrDamaged},
		{"all other pages", func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			overwrite(8192, bytes.Repeat([]byte{0xff}, int(info.Size()-8192)))(t, path)
		}, []string{sealedBy}, ErrDamaged},
		{"pages of zeros", func(t *testing.T, path string) {
			info, _ := os.Stat(path)
			overwrite(8192, make([]byte, info.Size()-8192))(t, path)
		}, []string{sealedBy}, ErrDamaged},
		{"not a database", func(t *testing.T, path string) { os.WriteFile(path, []byte(strings.Repeat("CANARY ", 9000)), 0o600) }, nil, ErrDamaged},
		{"another database", func(t *testing.T, path string) {
			os.Remove(path)
			inDB(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("x")); return err })(t, path)
		}, nil, ErrDamaged},
		{"later version", inDB(func(tx *bbolt.Tx) error { return tx.Bucket(bucketMeta).Put(keyVersion, []byte("2")) }), []string{sealedBy}, ErrVersion},
		{"record damaged", inDB(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketChains).Put(key(7), []byte("CANARY"))
		}), []string{sealedBy}, ErrDamaged},
		{"records exchanged", inDB(func(tx *bbolt.Tx) error {
			b := tx.Bucket(bucketChains)
			return b.Put(key(7), bytes.Clone(b.Get(key(8))))
		}), []string{sealedBy}, ErrSealed},
		{"key of a record", inDB(func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketChains).Put([]byte("x"), []byte("{}"))
		}), []string{sealedBy}, ErrDamaged},
		{"a directory", func(t *testing.T, path string) { os.Remove(path); os.Mkdir(path, 0o700) }, nil, ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := good(t)
			if tt.damage != nil {
				tt.damage(t, path)
			}
			before, _ := os.ReadFile(path)
			var keys *seal.Keyring
			if tt.keys != nil {
				keys = keyring(t, tt.keys...)
			}
			s, err := Open(Config{Path: path, Keys: keys})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOneProcessOnly(t *testing.T) {
	path := storePath(t)
	mustOpen(t, path, nil)
	if _, err := Open(Config{Path: path, LockTimeout: time.Millisecond}); !errors.Is(err, ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
}

func TestModeIsTightened(t *testing.T) {
	path := storePath(t)
	mustOpen(t, path, nil).Close()
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, nil)
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestClosedStore(t *testing.T) {
	s := mustOpen(t, storePath(t), nil)
	s.Close()
	if _, _, err := s.Load(chain("a", 1)); err == nil {
		t.Error("Load works")
	}
	if err := s.Save(chain("a", 1), testRecord(1)); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("Save: %v", err)
	}
	if err := s.Retain(func(oauth.Chain) bool { return true }); err == nil {
		t.Error("Retain works")
	}
}

func TestLongAccountID(t *testing.T) {
	s := mustOpen(t, storePath(t), nil)
	id := strings.Repeat("x", maxID)
	mustSave(t, s, chain(id, 1), testRecord(1))
	mustHave(t, s, chain(id, 1), testRecord(1))
	if err := s.Save(chain(id+"x", 1), testRecord(1)); !errors.Is(err, ErrAccountID) {
		t.Errorf("too long: %v", err)
	}
}

// A chain is found again from its key, and from no other.
func FuzzKey(f *testing.F) {
	f.Add("acct", []byte("0123456789abcdef0123456789abcdef"))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, id string, fingerprint []byte) {
		c := oauth.Chain{AccountID: id}
		copy(c.Fingerprint[:], fingerprint)
		key, err := keyOf(c)
		if err != nil {
			return
		}
		if got, ok := chainOf(key); !ok || got != c {
			t.Fatalf("%+v became %+v, %v", c, got, ok)
		}
		if _, ok := chainOf(key[:len(key)-1]); ok {
			t.Fatal("a key that was cut is a key")
		}
	})
}
