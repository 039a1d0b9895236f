package accountfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/keyfile"
)

// writeAccounts puts text into a file of accounts and returns what it is read with.
func writeAccounts(t *testing.T, text string) *Basis {
	t.Helper()
	b := testBasis()
	b.Path = filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(b.Path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// newEntry makes an account without a client secret.
func newEntry(email string) *Entry {
	e := new(Entry)
	e.Set("email", email)
	e.Set("provider", "outlook")
	e.Set("client_id", "c")
	e.Set("refresh_token", "r!*$.")
	return e
}

// one is an account on one line.
func one(email string) string {
	return `{"email": "` + email + `", "provider": "outlook", "client_id": "c", "refresh_token": "r!*$."}`
}

// identified is one with an account_id.
func identified(email, id string) string {
	return strings.Replace(one(email), "{", `{"account_id": "`+id+`", `, 1)
}

func TestEdit(t *testing.T) {
	add := func(l *List) error { return l.Add(newEntry("new@a.test")) }
	remove := func(name string) func(*List) error {
		return func(l *List) error { return l.Remove(name) }
	}
	put := func(l *List) error {
		e := newEntry("A@A.test")
		e.Set("email", "")
		e.Set("email", "A@a.test")
		e.Set("client_id", "other")
		e.Remove("vmta_name")
		if err := e.SetJSON("max_recipients", "7"); err != nil {
			return err
		}
		l.Put(e)
		return nil
	}
	for _, tt := range []struct {
		name, before, after string
		change              func(*List) error
	}{
		{"add to an empty object", "{\n  \"accounts\": []\n}\n", `{
  "accounts": [
    {
      "email": "new@a.test",
      "provider": "outlook",
      "client_id": "c",
      "refresh_token": "r!*$."
    }
  ]
}
`, add},
		{"add to an empty array", "[]", `[
  {
    "email": "new@a.test",
    "provider": "outlook",
    "client_id": "c",
    "refresh_token": "r!*$."
  }
]
`, add},
		{"add to an array, indent of four", "[\n    {\n        \"email\": \"a@a.test\", \"provider\": \"outlook\",\n        \"client_id\": \"c\", \"refresh_token\": \"r\"\n    } // first\n]\n", `[
    {
        "email": "a@a.test", "provider": "outlook",
        "client_id": "c", "refresh_token": "r"
    }, // first
    {
        "email": "new@a.test",
        "provider": "outlook",
        "client_id": "c",
        "refresh_token": "r!*$."
    }
]
`, add},
		{"add one on a line", "// mine\n{\"_note\": 1, \"accounts\": [\n\t" + one("a@a.test") + ",\n\t// last\n]}\n",
			"// mine\n{\"_note\": 1, \"accounts\": [\n\t" + one("a@a.test") + ",\n\t" + one("new@a.test") + ",\n\t// last\n]}\n", add},
		{"add where all is on one line", "[" + one("a@a.test") + "]\n", "[" + one("a@a.test") + ", " + one("new@a.test") + "]\n", add},
		{"remove the first", "[\n  // about a\n  " + one("a@a.test") + ", // a\n  // about b\n  " + one("b@a.test") + "\n  // end\n]\n",
			"[\n  // about b\n  " + one("b@a.test") + "\n  // end\n]\n", remove("A@A.TEST")},
		{"remove the last", "[\n  // about a\n  " + one("a@a.test") + ", // a\n  // about b\n  " + one("b@a.test") + " // b\n  // end\n]\n",
			"[\n  // about a\n  " + one("a@a.test") + " // a\n  // end\n]\n", remove("b@a.test")},
		{"remove the last, trailing comma", "[\n  " + one("a@a.test") + ",\n  " + one("b@a.test") + ",\n]\n",
			"[\n  " + one("a@a.test") + ",\n]\n", remove("b@a.test")},
		{"remove by account_id", "[\n  " + one("a@a.test") + ",\n  " + identified("b@a.test", "x1") + "\n]\n",
			"[\n  " + one("a@a.test") + "\n]\n", remove("x1")},
		{"remove by an email that is an account_id too", "[\n  " + identified("a@a.test", "b@a.test") + ",\n  " + one("b@a.test") + "\n]\n",
			"[\n  " + identified("a@a.test", "b@a.test") + "\n]\n", remove("b@a.test")},
		{"add an email that is an account_id", "[" + identified("a@a.test", "new@a.test") + "]\n",
			"[" + identified("a@a.test", "new@a.test") + ", " + one("new@a.test") + "]\n", add},
		{"put an email that is an account_id", "[" + identified("a@a.test", "new@a.test") + "]\n",
			"[" + identified("a@a.test", "new@a.test") + ", " + one("new@a.test") + "]\n", func(l *List) error {
				if l.Has("new@a.test") || l.Put(newEntry("new@a.test")) {
					t.Error("another account is taken for it")
				}
				return nil
			}},
		{"remove all", "{\"accounts\": [\n  " + one("a@a.test") + "\n], \"other\": null}\n", "{\"accounts\": [], \"other\": null}\n",
			func(l *List) error { l.Clear(); return nil }},
		{"put", `[
  {
    "_comment": "stays",
    "client_id": "c", // of the tenant
    "email": "a@A.test",
    "vmta_name": "v", // goes
    "favourite": {"colour": "blue"},
    "provider": "outlook",
    "retry": {"max_attempts": 3},
    "refresh_token": "old" // last
  }
]
`, `[
  {
    "_comment": "stays",
    "client_id": "other", // of the tenant
    "email": "A@a.test",
    "favourite": {"colour": "blue"},
    "provider": "outlook",
    "retry": {"max_attempts": 3},
    "refresh_token": "r!*$.", // last
    "max_recipients": 7
  }
]
`, put},
		{"nothing", "[" + one("a@a.test") + "]", "[" + one("a@a.test") + "]", func(*List) error { return nil }},
		{"seal", "[" + one("a@a.test") + "]\n", "[" + strings.Replace(one("a@a.test"), "r!*$.", "changed:a@a.test", 1) + "]\n", func(l *List) error {
			return l.ReplaceStrings([]string{"client_secret", "refresh_token"}, func(email, key, value string) (string, error) {
				if key != "refresh_token" || value != "r!*$." {
					t.Errorf("asked for %s = %s", key, value)
				}
				return "changed:" + email, nil
			})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := writeAccounts(t, tt.before)
			if _, err := Edit(b, EditOptions{DryRun: true}, tt.change); err != nil {
				t.Fatalf("dry run: %v", err)
			}
			if got := readText(t, b.Path); got != tt.before {
				t.Errorf("a dry run writes:\n%s", got)
			}
			if _, err := Edit(b, EditOptions{DryRun: true, Rehearse: true}, tt.change); err != nil {
				t.Fatalf("rehearsal: %v", err)
			}
			if got := readText(t, b.Path); got != tt.before {
				t.Errorf("a rehearsal writes:\n%s", got)
			}
			rests := 0
			snapshot, err := Edit(b, EditOptions{Cache: &Cache{Pause: func() { rests++ }}}, tt.change)
			if err != nil {
				t.Fatal(err)
			}
			if n := snapshot.Len(); rests < n {
				t.Errorf("%d rests over %d accounts", rests, n)
			}
			if got := readText(t, b.Path); got != tt.after {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.after)
			}
			again, _, err := reread(b)
			if err != nil || again.Len() != snapshot.Len() {
				t.Errorf("read again: %v, %v", again, err)
			}
		})
	}
}

func TestEditRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, before string
		change       func(*List) error
		want         error
		text         string
	}{
		{"no account has that email", "[" + identified("b@a.test", "x@a.test") + "]", func(l *List) error { return l.RemoveEmail("x@a.test") }, ErrNoAccount, ""},
		{"twice", "[" + one("a@a.test") + "]", func(l *List) error { return l.Add(newEntry("A@a.test")) }, ErrAccountExists, ""},
		{"not there", "[]", func(l *List) error { return l.Remove("a@a.test") }, ErrNoAccount, ""},
		{"no provider", "[]", func(l *List) error {
			e := newEntry("b@a.test")
			e.Set("provider", "")
			return l.Add(e)
		}, nil, "accounts[0].provider: is needed"},
		{"a change that leaves it wrong", "[" + one("a@a.test") + `, {"email": "w@a.test"}]`, func(l *List) error {
			e := new(Entry)
			e.Set("email", "w@a.test")
			e.Set("provider", "outlook")
			l.Put(e)
			return nil
		}, ErrEntry, "accounts.json:1: accounts[1].client_id: is needed"},
		{"another one's account_id", "[" + identified("x@a.test", "x") + "]", func(l *List) error {
			e := newEntry("b@a.test")
			e.Set("account_id", "x")
			return l.Add(e)
		}, ErrEntry, `accounts[1].account_id: "x" is in use already`},
		{"no JSON", `[{"refresh_token": "canary]`, func(l *List) error { return nil }, nil, "not valid JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := writeAccounts(t, tt.before)
			_, err := Edit(b, EditOptions{}, tt.change)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v %s", err, tt.want, tt.text)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("a secret is shown: %v", err)
			}
			if got := readText(t, b.Path); got != tt.before {
				t.Errorf("the file is now:\n%s", got)
			}
		})
	}
}

func TestEditFile(t *testing.T) {
	b := writeAccounts(t, "[]")
	dir := filepath.Dir(b.Path)
	if err := os.Chmod(b.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(b.Path, link); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(b.Path, 1234, 4321); err != nil {
			t.Fatal(err)
		}
	}
	linked := *b
	linked.Path = link
	if _, err := Edit(&linked, EditOptions{}, func(l *List) error { return l.Add(newEntry("a@a.test")) }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(b.Path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if st := info.Sys().(*syscall.Stat_t); os.Getuid() == 0 && (st.Uid != 1234 || st.Gid != 4321) {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

// TestEditLinked creates accounts.json where a symbolic link says.
func TestEditLinked(t *testing.T) {
	add := func(l *List) error { return l.Add(newEntry("a@a.test")) }
	for _, tt := range []struct {
		name  string
		links [][2]string // below the directory: where, and what they say
		want  string      // where the file is then; "": nowhere
		text  string      // of the error
	}{
		{"to a file", [][2]string{{"etc/accounts.json", "../data/a.json"}}, "data/a.json", ""},
		{"in two steps", [][2]string{{"etc/accounts.json", "next.json"}, {"etc/next.json", "../data/a.json"}}, "data/a.json", ""},
		{"out of a linked directory", [][2]string{{"etc/accounts.json", "dir/../a.json"}, {"etc/dir", "../data/deep"}}, "data/a.json", ""},
		{"to no directory", [][2]string{{"etc/accounts.json", "../none/a.json"}}, "", "none/a.json, whose directory does not exist"},
		{"to itself", [][2]string{{"etc/accounts.json", "accounts.json"}}, "", "too many links"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{"etc", "data/deep"} {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, l := range tt.links {
				if err := os.Symlink(l[1], filepath.Join(dir, l[0])); err != nil {
					t.Fatal(err)
				}
			}
			b := testBasis()
			b.Path = filepath.Join(dir, "etc/accounts.json")
			_, err := Edit(b, EditOptions{Create: true}, add)
			if tt.want == "" {
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want one with %q", err, tt.text)
				}
			} else if err != nil {
				t.Fatal(err)
			} else if info, err := os.Lstat(filepath.Join(dir, tt.want)); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%s: %v, %v", tt.want, info, err)
			} else if snapshot, _, err := reread(b); err != nil || snapshot.Len() != 1 {
				t.Errorf("read through the link: %v, %v", snapshot, err)
			}
			for _, l := range tt.links {
				if to, err := os.Readlink(filepath.Join(dir, l[0])); err != nil || to != l[1] {
					t.Errorf("%s leads to %q, %v", l[0], to, err)
				}
			}
		})
	}
}

// TestEditRehearsal has something in the way of a save that no look at
// the accounts finds.
func TestEditRehearsal(t *testing.T) {
	b := writeAccounts(t, "[]")
	long := filepath.Join(filepath.Dir(b.Path), strings.Repeat("n", 255)) // none longer can stand beside it
	if err := os.Rename(b.Path, long); err != nil {
		t.Fatal(err)
	}
	b.Path = long
	add := func(l *List) error { return l.Add(newEntry("a@a.test")) }
	if _, err := Edit(b, EditOptions{DryRun: true}, add); err != nil {
		t.Errorf("dry run: %v", err)
	}
	for _, how := range []EditOptions{{DryRun: true, Rehearse: true}, {}} {
		if _, err := Edit(b, how, add); !errors.Is(err, syscall.ENAMETOOLONG) {
			t.Errorf("%+v: %v", how, err)
		}
	}
}

// killedFile is, in the environment, the file of accounts that a process is to be
// killed over while it saves it.
const killedFile = "CONFIG_TEST_KILLED_FILE"

// TestEditKilled kills a writer in the middle of a save: the next one
// finds the accounts as they were, and leaves no secrets beside them.
func TestEditKilled(t *testing.T) {
	if path := os.Getenv(killedFile); path != "" {
		target, err := targetAt(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := target.lock(); err != nil {
			t.Fatal(err)
		}
		err = durable.Replace(target.path, []byte("new"), func(*os.File) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
		t.Fatalf("it lives, with %v", err)
	}
	b := writeAccounts(t, "["+one("a@a.test")+"]")
	child := exec.Command(os.Args[0], "-test.run=^TestEditKilled$")
	child.Env = append(os.Environ(), killedFile+"="+b.Path)
	if out, err := child.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("%v: %s", err, out)
	}
	left := func() int {
		entries, err := os.ReadDir(filepath.Dir(b.Path))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	if n := left(); n != 2 {
		t.Fatalf("%d files after the kill", n)
	}
	snapshot, err := Edit(b, EditOptions{}, func(l *List) error { return l.Add(newEntry("b@a.test")) })
	if err != nil || snapshot.Len() != 2 {
		t.Errorf("%v, %v", snapshot, err)
	}
	if n := left(); n != 1 {
		t.Errorf("%d files after the next save", n)
	}
}

func TestEditCreates(t *testing.T) {
	b := testBasis()
	b.Path = filepath.Join(t.TempDir(), "accounts.json")
	add := func(l *List) error { return l.Add(newEntry("a@a.test")) }
	if _, err := Edit(b, EditOptions{}, add); err == nil {
		t.Error("a file is made unasked")
	}
	snapshot, err := Edit(b, EditOptions{Create: true}, add)
	if err != nil || snapshot.Len() != 1 {
		t.Fatalf("%v, %v", snapshot, err)
	}
	if !strings.HasPrefix(readText(t, b.Path), "{\n  \"accounts\": [\n    {\n") {
		t.Error("it is no object with accounts")
	}
}

// TestEditTogether has many writers: each finds what those before it
// left.
func TestEditTogether(t *testing.T) {
	b := writeAccounts(t, "[]")
	const writers = 16
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			_, err := Edit(b, EditOptions{}, func(l *List) error {
				return l.Add(newEntry(string(rune('a'+i)) + "@a.test"))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if snapshot, _, err := reread(b); err != nil || snapshot.Len() != writers {
		t.Errorf("%v accounts, %v", snapshot, err)
	}
}

// asWhole gives text as a whole only.
func asWhole(text []byte) source {
	return source{iotest.ErrReader(io.ErrUnexpectedEOF), func() ([]byte, error) { return text, nil }}
}

// FuzzEdit adds an account to any file that can be read and takes it
// out again: what was there stays as it was.
func FuzzEdit(f *testing.F) {
	f.Add("[" + one("a@a.test") + ", // x\n]")
	f.Add("{\"accounts\": [\n  " + one("a@a.test") + " // y\n\n]}")
	f.Add("[\n // nothing\n]")
	f.Add("[ /* two\nlines */ " + one("a@a.test") + " /* more\nlines */ ]")
	b := testBasis()
	f.Fuzz(func(t *testing.T, text string) {
		before, err := checkText(nil, b, []byte(text))
		if err != nil {
			return
		}
		if _, ok := before.ByLogin([]byte("new@fuzz.test")); ok {
			return
		}
		split, err := newList("accounts.json", inMemory([]byte(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		list, err := newList("accounts.json", asWhole([]byte(text)), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []*List{list, split} {
			if err := l.Add(newEntry("new@fuzz.test")); err != nil {
				t.Fatal(err)
			}
		}
		added, err := checkText(nil, b, list.pack())
		if err != nil {
			if _, dup := errors.AsType[*keyfile.Problem](err); dup && strings.Contains(err.Error(), "in use already") {
				return
			}
			t.Fatalf("%v after adding to %q:\n%s", err, text, list.pack())
		}
		if added.Len() != before.Len()+1 {
			t.Fatalf("%d accounts, before %d", added.Len(), before.Len())
		}
		if err := list.Remove("new@fuzz.test"); err != nil {
			t.Fatal(err)
		}
		if err := split.RemoveEmail("new@fuzz.test"); err != nil {
			t.Fatal(err)
		}
		if whole, parts := list.pack(), split.pack(); !bytes.Equal(whole, parts) {
			t.Fatalf("split it is:\n%s\nwhole:\n%s", parts, whole)
		}
		after, err := checkText(nil, b, list.pack())
		if err != nil {
			t.Fatalf("%v after removing: %s", err, list.pack())
		}
		sameAccounts(t, before, after)
	})
}

func sameAccounts(t *testing.T, before, after *account.Snapshot) {
	t.Helper()
	if before.Len() != after.Len() {
		t.Fatalf("%d accounts, before %d", after.Len(), before.Len())
	}
	for i, a := range after.All() {
		b := before.All()[i]
		if a.ID != b.ID || a.ConnectionFingerprint() != b.ConnectionFingerprint() {
			t.Fatalf("account %s became %s", b.ID, a.ID)
		}
	}
}
