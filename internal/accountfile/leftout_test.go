package accountfile

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
)

// TestWrongEntriesAreLeftOut has files with entries that are wrong, each in its way: all
// others are read.
func TestWrongEntriesAreLeftOut(t *testing.T) {
	good := one("good@a.test")
	for _, tt := range []struct {
		name, file string
		in         string // emails of the accounts
		out        string // emails of the wrong entries, "-" for one without
		says       string // of the first
	}{
		{"a key is missing", `[` + good + `, {"email": "w@a.test", "provider": "outlook", "client_id": "c"}]`, "good@a.test", "w@a.test", "accounts[1].refresh_token: is needed"},
		{"the first is wrong", `[{"email": "w@a.test"}, ` + good + `]`, "good@a.test", "w@a.test", "accounts[0].provider: is needed"},
		{"no provider of that name", `[{"email": "w@a.test", "provider": "gmial", "client_id": "c", "refresh_token": "r"}, ` + good + `]`, "good@a.test", "w@a.test", `"gmial" is neither`},
		{"no email", `[{"provider": "outlook"}, ` + good + `]`, "good@a.test", "-", "accounts[0].email: is needed"},
		{"an email that is none", `[{"email": "canary", "provider": "outlook"}, ` + good + `]`, "good@a.test", "canary", "accounts[0].email: must be an address"},
		{"no object", `[3, ` + good + `]`, "good@a.test", "-", `accounts[0]: must be an account`},
		{"no object after a wrong one", `[{"email": "w@a.test"}, [], ` + good + `]`, "good@a.test", "w@a.test -", "accounts[0].provider: is needed"},
		{"a secret that is not there", `[` + strings.Replace(one("w@a.test"), `"r!*$."`, `"file:/not/there"`, 1) + `, ` + good + `]`, "good@a.test", "w@a.test", "accounts[0].refresh_token: file:/not/there"},
		{"one email twice", `[` + one("w@a.test") + `, ` + good + `, ` + identified("W@a.test", "x") + `]`, "good@a.test", "w@a.test W@a.test", `accounts[0].email: "w@a.test" is in use again, by the account on line 1`},
		{"one account_id twice", `[` + identified("v@a.test", "x") + `, ` + identified("w@a.test", "x") + `, ` + good + `]`, "good@a.test", "v@a.test w@a.test", `accounts[0].account_id: "x" is in use again`},
		{"a chain of twins", `[` + identified("v@a.test", "x") + `, ` + identified("w@a.test", "x") + `, ` + identified("w@a.test", "y") + `, ` + good + `]`, "good@a.test", "v@a.test w@a.test w@a.test", `accounts[0].account_id: "x" is in use again`},
		{"the twin of a wrong one", `[` + identified("w@a.test", "x") + `, {"email": "w@a.test"}, ` + good + `]`, "good@a.test", "w@a.test w@a.test", `accounts[0].email: "w@a.test" is in use again`},
		{"all are wrong", `[{"email": "w@a.test"}]`, "", "w@a.test", "accounts[0].provider: is needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := writeAccounts(t, tt.file)
			snapshot, report, err := reread(b)
			if err != nil {
				t.Fatal(err)
			}
			var in, out []string
			for _, a := range snapshot.All() {
				in = append(in, a.Email)
			}
			for _, e := range snapshot.LeftOut() {
				if out = append(out, e.Email); e.Email == "" {
					out[len(out)-1] = "-"
				}
			}
			if got := strings.Join(in, " "); got != tt.in {
				t.Errorf("accounts %q, want %q", got, tt.in)
			}
			if got := strings.Join(out, " "); got != tt.out {
				t.Errorf("left out %q, want %q", got, tt.out)
			}
			if text := snapshot.LeftOut()[0].Err.Error(); !strings.Contains(text, tt.says) || !strings.HasPrefix(text, b.Path+":1: ") {
				t.Errorf("%s, want %s", text, tt.says)
			}
			if says := strings.Join(report.Lines(), "\n"); !strings.Contains(says, "entries are wrong and left out") {
				t.Error(says)
			}
		})
	}
}

// TestUnreadableFilesAreRefused: without its accounts told apart, no file is read in part.
func TestUnreadableFilesAreRefused(t *testing.T) {
	for _, text := range []string{`[` + one("a@a.test") + `, {"email": ]`, `[` + one("a@a.test"), `{"accounts": 3}`, ``, `3`} {
		if snapshot, _, err := reread(writeAccounts(t, text)); err == nil || snapshot != nil {
			t.Errorf("%q: %v, %v", text, snapshot, err)
		}
	}
}

// TestEditKeepsWrongEntries changes files that have wrong entries: these stay byte for
// byte, unless they are what is changed.
func TestEditKeepsWrongEntries(t *testing.T) {
	keys := someKeys(t)
	unbound, err := keys.Seal("canary", "") // the keys open it, and a save would bind it
	if err != nil {
		t.Fatal(err)
	}
	wrong := "{ \"email\" : \"w@a.test\", // why\n  \"provider\":\"outlook\",\"client_id\":\"c\" ,\"client_secret\": \"" + unbound + "\"}"
	before := "[" + one("a@a.test") + ",\n" + wrong + ",\n" + identified("t@a.test", "x") + ", " + identified("u@a.test", "x") + "]\n"
	for _, tt := range []struct {
		name   string
		change func(*List) error
		left   int // wrong entries afterwards
	}{
		{"another is added", func(l *List) error { return l.Add(newEntry("b@a.test")) }, 3},
		{"another is changed", func(l *List) error { l.Put(newEntry("a@a.test")); return nil }, 3},
		{"another is removed", func(l *List) error { return l.Remove("a@a.test") }, 3},
		{"a twin is removed", func(l *List) error { return l.Remove("u@a.test") }, 1},
		{"a twin is changed", func(l *List) error {
			e := new(Entry)
			e.Set("email", "u@a.test")
			e.Set("account_id", "y")
			l.Put(e)
			return nil
		}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := writeAccounts(t, before)
			b.Keys = keys
			snapshot, err := Edit(b, EditOptions{}, tt.change)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(snapshot.LeftOut()); got != tt.left {
				t.Errorf("%d wrong entries, want %d", got, tt.left)
			}
			if text := readText(t, b.Path); !strings.Contains(text, wrong) {
				t.Errorf("the wrong entry is not as it was:\n%s", text)
			}
		})
	}
	t.Run("it is mended", func(t *testing.T) {
		b := writeAccounts(t, before)
		b.Keys = keys
		snapshot, err := Edit(b, EditOptions{}, func(l *List) error { l.Put(newEntry("w@a.test")); return nil })
		if err != nil || len(snapshot.LeftOut()) != 2 {
			t.Errorf("%v, %v", snapshot, err)
		}
	})
	t.Run("it is removed", func(t *testing.T) {
		b := writeAccounts(t, before)
		snapshot, err := Edit(b, EditOptions{}, func(l *List) error { return l.RemoveEmail("w@a.test") })
		if err != nil || len(snapshot.LeftOut()) != 2 {
			t.Errorf("%v, %v", snapshot, err)
		}
	})
}

// noKeys refuses the account of one mailbox, as if it could not sign.
type noKeys string

func (n noKeys) CheckKeys(a *account.Account) error {
	if a.Email == string(n) {
		return errors.New("no key")
	}
	return nil
}

// TestKeysThatCannotSign: an account that cannot sign is a wrong entry.
func TestKeysThatCannotSign(t *testing.T) {
	b := writeAccounts(t, "["+one("a@a.test")+","+one("b@a.test")+"]")
	b.Signing = noKeys("b@a.test")
	snapshot, _, err := reread(b)
	if err != nil || snapshot.Len() != 1 || len(snapshot.LeftOut()) != 1 ||
		!strings.Contains(snapshot.LeftOut()[0].Err.Error(), "accounts[1]: b@a.test: no key") {
		t.Errorf("%v, %v", snapshot, err)
	}
	e := newEntry("b@a.test")
	if _, err := ReadEntry(b, e); err == nil {
		t.Error("it may go into the file")
	}
}

// TestCacheOfWrongEntries mends an entry, and makes another wrong, in a file that is read
// with a cache.
func TestCacheOfWrongEntries(t *testing.T) {
	b, c := writeAccounts(t, ""), new(Cache)
	for i, text := range []string{
		"[" + one("a@a.test") + ",\n" + one("b@a.test") + ",\n" + one("c@a.test") + "]",
		"[" + one("a@a.test") + `,` + "\n" + `{"email": "b@a.test"},` + "\n" + one("c@a.test") + "]",
		"[" + one("a@a.test") + ",\n" + one("b@a.test") + `,` + "\n" + `{"email": "c@a.test"}]`,
		"[" + one("a@a.test") + ",\n" + one("b@a.test") + ",\n" + one("c@a.test") + "]",
		"[" + one("a@a.test") + ",\n" + one("b@a.test") + ",\n" + one("c@a.test") + ",\n" + identified("a@a.test", "z") + "]",
	} {
		got := read(c, b, []byte(text))
		if want := coldly(b, []byte(text)); !got.same(t, want) {
			t.Errorf("file %d", i)
		}
		if wrong := []int{0, 1, 1, 0, 2}[i]; len(got.leftOut) != wrong {
			t.Errorf("file %d: %q, want %d", i, got.leftOut, wrong)
		}
	}
	if !slices.ContainsFunc(c.last.snapshot.All(), func(a *account.Account) bool { return a.Email == "c@a.test" }) {
		t.Error("the twins took others with them")
	}
}

// someKeys returns a keyring with one new key.
func someKeys(t *testing.T) *seal.Keyring {
	t.Helper()
	keys, err := seal.ParseKeyring(seal.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}
