package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func newKeyring(t testing.TB, keys ...string) *Keyring {
	t.Helper()
	if len(keys) == 0 {
		keys = []string{GenerateKey()}
	}
	kr, err := ParseKeyring(strings.Join(keys, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return kr
}

func mustSeal(t testing.TB, kr *Keyring, plain, context string) string {
	t.Helper()
	sealed, err := kr.Seal(plain, context)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealOpen(t *testing.T) {
	kr := newKeyring(t)
	for _, plain := range []string{"", "x", "M.C5_refresh!*$ token\n", strings.Repeat("ä", 5000)} {
		sealed := mustSeal(t, kr, plain, "here")
		if !IsSealed(sealed) || !kr.Current(sealed) || len(plain) > 8 && strings.Contains(sealed, plain) {
			t.Errorf("sealed form %q", sealed)
		}
		if again := mustSeal(t, kr, plain, "here"); again == sealed {
			t.Error("the same plain text gives the same sealed value")
		}
		if got, err := kr.Open(sealed, "here"); err != nil || got != plain {
			t.Errorf("Open = %q, %v", got, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	kr, other := newKeyring(t), newKeyring(t)
	sealed := mustSeal(t, kr, "secret", "here")
	head, data := sealed[:strings.LastIndexByte(sealed, ':')+1], sealed[strings.LastIndexByte(sealed, ':')+1:]
	var none *Keyring
	tests := []struct {
		name, value, context string
		kr                   *Keyring
		want                 error
	}{
		{"another context", sealed, "there", kr, ErrSealed},
		{"another key", sealed, "here", other, ErrUnknownKey},
		{"no key", sealed, "here", none, ErrNoKey},
		{"empty keyring", sealed, "here", new(Keyring), ErrNoKey},
		{"cut", sealed[:len(sealed)-1], "here", kr, ErrSealed},
		{"no data", head, "here", kr, ErrSealed},
		{"changed", head + "A" + data[:len(data)-1], "here", kr, ErrSealed},
		{"another version", strings.Replace(sealed, "v1", "v2", 1), "here", kr, ErrSealed},
		{"no key name", prefix1 + data, "here", kr, ErrSealed},
		{"not sealed", "secret", "here", kr, ErrSealed},
		{"key name of another", strings.Replace(sealed, kr.ID(), other.ID(), 1), "here", newKeyring(t, GenerateKey()), ErrUnknownKey},
	}
	for _, tt := range tests {
		if got, err := tt.kr.Open(tt.value, tt.context); !errors.Is(err, tt.want) || got != "" {
			t.Errorf("%s: %q, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	if _, err := none.Seal("x", ""); !errors.Is(err, ErrNoKey) {
		t.Errorf("Seal without a key: %v", err)
	}
}

// TestFields has a value that is sealed for a field open there and nowhere else,
// and one of the first form everywhere.
func TestFields(t *testing.T) {
	kr := newKeyring(t)
	home := Field{"User@Example.com", "client_secret"}
	bound, err := kr.SealField("secret", home)
	if err != nil || !strings.HasPrefix(bound, "sealed:v2:"+kr.ID()+":") || IsUnbound(bound) || !kr.Current(bound) || !IsSealed(bound) {
		t.Fatalf("%q, %v", bound, err)
	}
	unbound := mustSeal(t, kr, "secret", "")
	if !IsUnbound(unbound) || !kr.Current(unbound) {
		t.Errorf("%q is of the first form", unbound)
	}
	for _, tt := range []struct {
		f    Field
		same bool
	}{
		{home, true},
		{Field{" user@EXAMPLE.com\n", "client_secret"}, true},
		{Field{"user@example.com", "refresh_token"}, false},
		{Field{"user@example.com", "Client_secret"}, false},
		{Field{"other@example.com", "client_secret"}, false},
		{Field{"\u017fer@example.com", "client_secret"}, false},
		{Field{"user@example.com client_secret", ""}, false},
		{Field{"", "user@example.com client_secret"}, false},
		{Field{"", "client_secret"}, false},
		{Field{}, false},
	} {
		got, err := kr.OpenField(bound, tt.f)
		if tt.same != (err == nil) || tt.same != (got == "secret") || !tt.same && !errors.Is(err, ErrSealed) {
			t.Errorf("%+v: %q, %v", tt.f, got, err)
		}
		if got, err := kr.OpenField(unbound, tt.f); err != nil || got != "secret" {
			t.Errorf("%+v, the first form: %q, %v", tt.f, got, err)
		}
	}
	_, err = kr.OpenField(bound, Field{"other@example.com", "refresh_token"})
	if err == nil || !strings.Contains(err.Error(), "refresh_token of other@example.com") {
		t.Errorf("the error does not name the field: %v", err)
	}
	// The forms do not open each other, whatever the context.
	for _, other := range []string{strings.Replace(bound, "v2", "v1", 1), strings.Replace(mustSeal(t, kr, "x", home.context()), "v1", "v2", 1)} {
		if got, err := kr.OpenField(other, home); !errors.Is(err, ErrSealed) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got, err := kr.Open(bound, home.context()); !errors.Is(err, ErrSealed) {
		t.Errorf("Open of the second form: %q, %v", got, err)
	}
}

func TestRotation(t *testing.T) {
	oldKey, newKey := GenerateKey(), GenerateKey()
	sealed := mustSeal(t, newKeyring(t, oldKey), "secret", "")
	both := newKeyring(t, "# the new one first", newKey, "", oldKey)
	if got, err := both.Open(sealed, ""); err != nil || got != "secret" || both.Current(sealed) {
		t.Errorf("Open with the old key: %q, %v", got, err)
	}
	again := mustSeal(t, both, "secret", "")
	if got, err := newKeyring(t, newKey).Open(again, ""); err != nil || got != "secret" {
		t.Errorf("Open with the new key: %q, %v", got, err)
	}
}

func TestParseKeyring(t *testing.T) {
	k := GenerateKey()
	for _, bad := range []string{"", "# only a comment", "hunter2", k[:len(k)-1], k + "A", k + "\n" + k, strings.ToUpper(k), k + " x"} {
		kr, err := ParseKeyring(bad)
		if err == nil {
			t.Errorf("%q was taken: %v", bad, kr)
		} else if strings.Contains(err.Error(), k[len(keyPrefix):len(keyPrefix)+8]) {
			t.Errorf("the error shows the key: %v", err)
		}
	}
	kr := newKeyring(t, k)
	shown := fmt.Sprintf("%v %+v %#v %s %x %d", kr, kr, kr, kr, kr, kr)
	if strings.Contains(shown, k[len(keyPrefix):]) || !strings.Contains(shown, kr.ID()) {
		t.Errorf("formatted: %s", shown)
	}
}

func writeFile(t *testing.T, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResolve(t *testing.T) {
	kr := newKeyring(t)
	t.Setenv("SEAL_TEST", "from env")
	t.Setenv("SEAL_EMPTY", "")
	file := writeFile(t, 0o600, "from file\r\n")
	credentials := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", credentials)
	if err := os.WriteFile(filepath.Join(credentials, "token"), []byte("from systemd"), 0o400); err != nil {
		t.Fatal(err)
	}
	good := map[string]string{
		"":                              "",
		"plain text":                    "plain text",
		"1//0refresh:with:colons":       "1//0refresh:with:colons",
		"env:SEAL_TEST":                 "from env",
		"file:" + file:                  "from file",
		"credential:token":              "from systemd",
		mustSeal(t, kr, "sealed x", ""): "sealed x",
	}
	for value, want := range good {
		if got, err := Resolve(value, kr, Field{"user@example.com", "client_secret"}); err != nil || got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", value, got, err, want)
		}
	}
	bad := map[string]error{
		"env:SEAL_EMPTY":                    ErrReference,
		"env:SEAL_MISSING":                  ErrReference,
		"file:relative":                     ErrReference,
		"file:" + file + ".missing":         ErrReference,
		"file:" + credentials:               ErrReference, // a directory
		"file:" + writeFile(t, 0o600, "\n"): ErrReference,
		"file:" + writeFile(t, 0o600, strings.Repeat("x", maxFile+1)): ErrReference,
		"credential:../token":               ErrReference,
		"credential:missing":                ErrReference,
		"sealed:v9:x":                       ErrSealed,
		mustSeal(t, newKeyring(t), "x", ""): ErrUnknownKey,
		mustSeal(t, kr, "x", "elsewhere"):   ErrSealed,
	}
	for value, want := range bad {
		if got, err := Resolve(value, kr, Field{"user@example.com", "client_secret"}); !errors.Is(err, want) || got != "" {
			t.Errorf("Resolve(%q) = %q, %v; want %v", value, got, err, want)
		}
		if !IsReference(value) {
			t.Errorf("%q is no reference", value)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := Resolve("credential:token", kr, Field{}); !errors.Is(err, ErrReference) {
		t.Errorf("without systemd: %v", err)
	}
}

// TestResolveOpensFilesOnly has what would be waited for without end, or be read
// without end.
func TestResolveOpensFilesOnly(t *testing.T) {
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(fifo, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, link, "/dev/zero", "/dev/tty", dir} {
		if text, err := read(kindFile, path); !errors.Is(err, ErrReference) || text != "" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
	// The target of a symbolic link is read, as orchestrators mount secrets.
	file := writeFile(t, 0o600, "secret")
	link = filepath.Join(dir, "to-file")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	if got, err := Resolve("file:"+link, nil, Field{}); err != nil || got != "secret" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLoadKeyring(t *testing.T) {
	k := GenerateKey()
	t.Setenv("SEAL_KEY", k)
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(k), 0o444); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"env:SEAL_KEY", "credential:key", "file:" + writeFile(t, 0o640, k+"\n"), "file:" + writeFile(t, 0o644, k), "file:" + writeFile(t, 0o444, k)} {
		if kr, err := LoadKeyring(ref); err != nil || kr.ID() != newKeyring(t, k).ID() {
			t.Errorf("%s: %v, %v", ref, kr, err)
		}
	}
	for _, ref := range []string{k, "", "env:NO_SUCH_KEY", "file:" + writeFile(t, 0o600, "hunter2")} {
		_, err := LoadKeyring(ref)
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), k) {
			t.Errorf("%q: %v", ref, err)
		}
	}
}

// Whatever is opened was sealed, for this context and no other.
func FuzzSeal(f *testing.F) {
	kr := newKeyring(f)
	f.Add("secret", "context", 0, byte(1))
	f.Add("", "", 30, byte(0x80))
	f.Fuzz(func(t *testing.T, plain, context string, at int, flip byte) {
		sealed := mustSeal(t, kr, plain, context)
		if got, err := kr.Open(sealed, context); err != nil || got != plain {
			t.Fatalf("Open = %q, %v", got, err)
		}
		if _, err := kr.Open(sealed, context+"x"); err == nil {
			t.Fatal("opened in another context")
		}
		if flip != 0 && at >= 0 {
			b := []byte(sealed)
			b[at%len(b)] ^= flip
			if got, err := kr.Open(string(b), context); err == nil {
				t.Fatalf("a changed value was opened: %q", got)
			}
		}
		if got, err := Resolve(plain, kr, Field{"user@example.com", "client_secret"}); err == nil && !IsReference(plain) && got != plain {
			t.Fatalf("plain text became %q", got)
		}
	})
}
