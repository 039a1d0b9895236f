package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/boltfile"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/seal"
)

// The environment of a process that runs until it is killed: what it does, its directory,
// and after which step.
const (
	killedDoing = "BACKUP_TEST_DOING"
	killedDir   = "BACKUP_TEST_DIR"
	killedStep  = "BACKUP_TEST_STEP"
)

func TestMain(m *testing.M) {
	if doing := os.Getenv(killedDoing); doing != "" {
		left := os.Getenv(killedStep)
		step = func(string) {
			if left = left[1:]; left == "" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
		fmt.Println(do(doing, os.Getenv(killedDir)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// do restores or moves what is in dir.
func do(doing, dir string) error {
	keys, err := seal.LoadKeyring("file:" + filepath.Join(dir, "seal.key"))
	if err != nil { // moved already
		keys, err = seal.LoadKeyring("file:" + filepath.Join(dir, "new", "etc", "key"))
	}
	if err != nil {
		return err
	}
	to, err := elsewhere(dir, keys)
	if err != nil {
		return err
	}
	if doing == "move" {
		from, err := config.LoadSettingsWith(keys, filepath.Join(dir, "config.json"), filepath.Join(dir, "accounts.json"))
		if err != nil {
			return err
		}
		return Move(io.Discard, from, to)
	}
	a, err := Read(filepath.Join(dir, "archive"))
	if err != nil {
		return err
	}
	return a.Restore(io.Discard, to, Options{WithKey: true})
}

// proxyFiles makes the files of a proxy, which an earlier version wrote, in a new
// directory; kind is "clear" or "sealed".
func proxyFiles(t *testing.T, kind string) (dir string, s *config.Settings) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("../app/testdata/state-087ade6", kind))); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{"accounts.json": 0o640, "state/orders.json": 0o600, "state/tokens.db": 0o600, "state/quota.db": 0o600} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"state/tokens.db", "state/quota.db"} { // without the room that is not in use
		path := filepath.Join(dir, name)
		data, err := boltfile.Snapshot(path, 0)
		if err == nil {
			err = os.WriteFile(path, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	key := ""
	if kind == "sealed" {
		key = fmt.Sprintf(`, "secrets": {"key": "file:%s/seal.key"}`, dir)
		if err := os.Chmod(filepath.Join(dir, "seal.key"), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "config.json"), fmt.Sprintf(`{"state_dir": "%s/state", "oauth": {"token_store": "%s/state/tokens.db"}%s}`, dir, dir, key))
	return dir, load(t, filepath.Join(dir, "config.json"), filepath.Join(dir, "accounts.json"))
}

// elsewhere returns the settings of another host, whose paths all differ, with keys for a
// key file that does not exist; nil: it has no key.
func elsewhere(dir string, keys *seal.Keyring) (*config.Settings, error) {
	to := filepath.Join(dir, "new")
	key := ""
	if keys != nil {
		key = fmt.Sprintf(`, "secrets": {"key": "file:%s/etc/key"}`, to)
	}
	path := filepath.Join(dir, "new.json")
	text := fmt.Sprintf(`{"state_dir": "%s/var/state", "oauth": {"token_store": "%s/store/t"}%s}`, to, to, key)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.LoadSettingsWith(keys, path, filepath.Join(to, "etc", "a.json"))
}

func load(t *testing.T, configPath, accountsPath string) *config.Settings {
	t.Helper()
	s, err := config.LoadSettings(configPath, accountsPath)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// tree returns the files below dir with mode and content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, dir+"/")] = info.Mode().Perm().String() + " " + string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// moved is the files of old at the paths of elsewhere.
func moved(old map[string]string, key bool) map[string]string {
	files := map[string]string{"store/t": old["state/tokens.db"], "var/state/quota.db": old["state/quota.db"],
		"var/state/orders.json": old["state/orders.json"], "etc/a.json": old["accounts.json"]}
	if key {
		files["etc/key"] = old["seal.key"]
	}
	return files
}

// sameFiles wants files, with mode and content.
func sameFiles(t *testing.T, when string, got, want map[string]string) {
	t.Helper()
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%s: %s is %.40q, want %.40q", when, name, got[name], want[name])
		}
	}
	for name := range maps.Keys(got) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: there is %s", when, name)
		}
	}
}

// TestBackupAndRestore brings the files of a proxy to a host with other paths: content and
// modes are the same there. A second time nothing changes.
func TestBackupAndRestore(t *testing.T) {
	for _, tt := range []struct {
		kind    string
		withKey bool
	}{{"clear", false}, {"sealed", false}, {"sealed", true}} {
		t.Run(fmt.Sprintf("%s, key %v", tt.kind, tt.withKey), func(t *testing.T) {
			dir, s := proxyFiles(t, tt.kind)
			before := tree(t, dir)
			a, err := Collect(s, tt.withKey)
			if err != nil {
				t.Fatal(err)
			}
			archive := filepath.Join(dir, "archive")
			if err := a.Write(archive, false); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(archive); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if a, err = Read(archive); err != nil {
				t.Fatal(err)
			}
			if (a.Keys() != nil) != tt.withKey {
				t.Errorf("keys in the archive: %v", a.Keys())
			}
			to, err := elsewhere(dir, s.Secrets.Key)
			if err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"restored", "again"} {
				if err := a.Restore(io.Discard, to, Options{WithKey: tt.withKey}); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				sameFiles(t, when, tree(t, filepath.Join(dir, "new")), moved(before, tt.withKey))
			}
			if err := a.Restore(io.Discard, to, Options{WithKey: true}); (err != nil) != (!tt.withKey) {
				t.Errorf("with the key: %v", err)
			}
		})
	}
}

// TestArchiveIsNotReplaced writes archives to paths that are taken.
func TestArchiveIsNotReplaced(t *testing.T) {
	dir, s := proxyFiles(t, "clear")
	a, err := Collect(s, false)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "archive")
	write(t, path, "mine")
	if err := a.Write(path, false); !errors.Is(err, fs.ErrExist) || !strings.HasSuffix(tree(t, dir)["archive"], " mine") {
		t.Errorf("over a file: %v", err)
	}
	if err := a.Write(path, true); err != nil {
		t.Error(err)
	}
	if _, err := Read(path); err != nil {
		t.Error(err)
	}
	for _, odd := range []string{dir, os.DevNull} {
		if err := a.Write(odd, true); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("%s: %v", odd, err)
		}
	}
}

// TestReadEveryDamage cuts an archive at each octet, and changes each: what is read then is
// the whole content, or nothing.
func TestReadEveryDamage(t *testing.T) {
	a := &Archive{files: []file{{keyName, []byte("a key"), 0o400}, {accountsName, []byte("[]\n"), 0o640}}}
	packed, err := a.packAs(version)
	if err != nil {
		t.Fatal(err)
	}
	try := func(what string, text string) {
		t.Helper()
		got, err := unpack(strings.NewReader(text))
		if err == nil && fmt.Sprint(got.files) == fmt.Sprint(a.files) && what == "changed" {
			return // an octet of the head that means nothing
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range packed {
		try(fmt.Sprint("cut at ", i), string(packed[:i]))
		for _, bit := range []byte{1, 0x80} {
			text := []byte(string(packed))
			text[i] ^= bit
			try("changed", string(text))
		}
	}
	try("more after the end", string(packed)+"x")
	for _, change := range [][2]string{{"a key", "A KEY"}, {"a key", "a k"}, {accountsName, "ACCOUNTS.json"}} { // in gzip that is right
		try(change[1], repacked(t, packed, change[0], change[1]))
	}
	for name, odd := range map[string]*Archive{
		"a foreign name": {files: []file{{"../../etc/passwd", []byte("x"), 0o600}}},
		"a name twice":   {files: []file{{keyName, []byte("x"), 0o600}, {keyName, []byte("y"), 0o600}}},
	} {
		text, err := odd.packAs(version)
		if err != nil {
			t.Fatal(err)
		}
		try(name, string(text))
	}
}

// repacked changes a file of the archive, its name or its content, and leaves the first entry.
func repacked(t *testing.T, packed []byte, old, new string) string {
	t.Helper()
	a, err := unpack(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	gz, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	from := tar.NewReader(gz)
	head, err := next(from)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	zip := gzip.NewWriter(&text)
	to := tar.NewWriter(zip)
	for _, f := range append([]file{head}, a.files...) {
		if f.name == old {
			f.name = new
		}
		if string(f.data) == old {
			f.data = []byte(new)
		}
		if err := to.WriteHeader(&tar.Header{Name: f.name, Mode: int64(f.mode), Size: int64(len(f.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(to.Close(), zip.Close()); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// TestReadRefuses has files that are no archives of this version.
func TestReadRefuses(t *testing.T) {
	a := &Archive{files: []file{{accountsName, []byte("[]\n"), 0o640}}}
	dir := t.TempDir()
	for name, tt := range map[string]struct {
		pack func() ([]byte, error)
		want error
	}{
		"empty":    {func() ([]byte, error) { return nil, nil }, ErrDamaged},
		"a text":   {func() ([]byte, error) { return []byte(`[{"email": "a@b.example"}]`), nil }, ErrDamaged},
		"format 2": {func() ([]byte, error) { return a.packAs(2) }, ErrVersion},
		"format 0": {func() ([]byte, error) { return a.packAs(0) }, ErrVersion},
	} {
		text, err := tt.pack()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		write(t, path, string(text))
		if _, err := Read(path); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if _, err := Read(dir); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
}

// TestRestoreRefuses has all reasons to restore nothing: no file changes, none is new.
func TestRestoreRefuses(t *testing.T) {
	set := func(a *Archive, name, text string) {
		if f := find(a.files, name); f != nil {
			f.data = []byte(text)
		}
	}
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, a *Archive, new string, to *config.Settings) Options
		want    string
	}{
		"other accounts": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			write(t, new+"/etc/a.json", "[]\n")
			return Options{WithKey: true}
		}, "accounts: NEW/etc/a.json is there with another content: make a backup"},
		"other orders": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			write(t, new+"/var/state/orders.json", `{"orders":[]}`)
			return Options{WithKey: true}
		}, "orders: NEW/var/state/orders.json is there"},
		"a damaged store": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			write(t, new+"/store/t", "no database")
			return Options{WithKey: true}
		}, "NEW/store/t"},
		"another key, even with --overwrite": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			write(t, new+"/etc/key", seal.GenerateKey())
			return Options{WithKey: true, Overwrite: true}
		}, "a key is never overwritten"},
		"a store in use": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			hold(t, new+"/store/t")
			return Options{WithKey: true, Overwrite: true}
		}, "in use by another process: stop the proxy first"},
		"counts in use": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			hold(t, new+"/var/state/quota.db")
			return Options{WithKey: true, Overwrite: true}
		}, "in use by another process: stop the proxy first"},
		"no store configured": {func(_ *testing.T, _ *Archive, _ string, to *config.Settings) Options {
			to.OAuth.TokenStore = ""
			return Options{}
		}, "nothing says where to put it: set oauth.token_store"},
		"no state directory": {func(_ *testing.T, _ *Archive, _ string, to *config.Settings) Options {
			to.StateDir = ""
			return Options{}
		}, "set state_dir"},
		"no key configured": {func(_ *testing.T, _ *Archive, _ string, to *config.Settings) Options {
			to.Secrets.Ref = "env:SEAL"
			return Options{WithKey: true}
		}, "secrets.key"},
		"no key at all": {func(_ *testing.T, _ *Archive, _ string, to *config.Settings) Options {
			to.Secrets.Key = nil
			return Options{}
		}, "sealed"},
		"another key configured": {func(t *testing.T, _ *Archive, _ string, to *config.Settings) Options {
			var err error
			if to.Secrets.Key, err = seal.ParseKeyring(seal.GenerateKey()); err != nil {
				t.Fatal(err)
			}
			return Options{}
		}, "tokens.db: the token store cannot be unsealed"},
		"accounts of another key": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, accountsName, `[{"refresh_token": "sealed:v2:0123456789abcdef:AAAA"}]`)
			return Options{}
		}, "accounts.json: its values are sealed with key 0123456789abcdef"},
		"accounts that are no JSON": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, accountsName, `[{"email":`)
			return Options{}
		}, "accounts.json"},
		"a store that is none": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, storeName, "no database")
			return Options{}
		}, "tokens.db: the token store is damaged"},
		"counts that are none": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, "quota.db", string(find(a.files, storeName).data))
			return Options{}
		}, "quota.db: "},
		"orders of another format": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, "orders.json", `{"version": 9, "orders": []}`)
			return Options{}
		}, "orders.json: is of another version"},
		"a key that is none": {func(_ *testing.T, a *Archive, _ string, _ *config.Settings) Options {
			set(a, keyName, "canary")
			return Options{WithKey: true}
		}, "seal.key: key 1: not a key"},
		"a place that is a directory": {func(t *testing.T, _ *Archive, new string, _ *config.Settings) Options {
			write(t, new+"/var/state/orders.json/x", "mine")
			return Options{WithKey: true, Overwrite: true}
		}, "orders.json"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, s := proxyFiles(t, "sealed")
			a, err := Collect(s, true)
			if err != nil {
				t.Fatal(err)
			}
			to, err := elsewhere(dir, s.Secrets.Key)
			if err != nil {
				t.Fatal(err)
			}
			new := filepath.Join(dir, "new")
			o := tt.prepare(t, a, new, to)
			before := tree(t, dir)
			err = a.Restore(io.Discard, to, o)
			if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(tt.want, "NEW", new)) {
				t.Errorf("the error is %v", err)
			}
			if err != nil && (strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "/proc/")) {
				t.Errorf("the error shows too much: %v", err)
			}
			sameFiles(t, "after the refusal", tree(t, dir), before)
		})
	}
}

// hold makes a database and keeps it open.
func hold(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	db, err := boltfile.Open(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
}

// TestRestoreOverwrites replaces other files, keeps what the archive has not, and takes an
// empty file for none.
func TestRestoreOverwrites(t *testing.T) {
	dir, s := proxyFiles(t, "sealed")
	a, err := Collect(s, true)
	if err != nil {
		t.Fatal(err)
	}
	to, err := elsewhere(dir, s.Secrets.Key)
	if err != nil {
		t.Fatal(err)
	}
	new, want := filepath.Join(dir, "new"), moved(tree(t, dir), true)
	for _, name := range []string{"etc/a.json", "store/t", "etc/key", "var/state/orders.json", "var/state/quota.db"} {
		write(t, filepath.Join(new, name), "")
	}
	if err := a.Restore(io.Discard, to, Options{WithKey: true}); err != nil {
		t.Errorf("over empty files: %v", err)
	}
	sameFiles(t, "over empty files", tree(t, new), want)
	write(t, new+"/etc/a.json", "[]")
	write(t, new+"/var/state/orders.json", "[]")
	if err := a.Restore(io.Discard, to, Options{WithKey: true, Overwrite: true}); err != nil {
		t.Error(err)
	}
	sameFiles(t, "over other files", tree(t, new), want)
	a.files = a.files[:0:0]
	write(t, dir+"/accounts.json", "[]\n")
	for _, name := range []string{"quota.db", "orders.json"} {
		if err := os.Remove(filepath.Join(dir, "state", name)); err != nil {
			t.Fatal(err)
		}
	}
	if a, err = Collect(s, false); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	if err := a.Restore(&said, to, Options{Overwrite: true}); err != nil || !strings.Contains(said.String(), "orders.json stays as it is") {
		t.Errorf("%v\n%s", err, said.String())
	}
	want["etc/a.json"] = tree(t, dir)["accounts.json"]
	sameFiles(t, "of what the archive has", tree(t, new), want)
}

// TestCollectRefuses has proxies of which there is no backup that could be restored.
func TestCollectRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, dir string, s *config.Settings)
		withKey bool
		want    string
	}{
		"no accounts": {func(t *testing.T, dir string, _ *config.Settings) {
			if err := os.Remove(dir + "/accounts.json"); err != nil {
				t.Fatal(err)
			}
		}, false, "there is no accounts file"},
		"a damaged store": {func(t *testing.T, dir string, _ *config.Settings) { write(t, dir+"/state/tokens.db", "x") }, false, "tokens.db: damaged"},
		"an empty store":  {func(t *testing.T, dir string, _ *config.Settings) { write(t, dir+"/state/tokens.db", "") }, false, "tokens.db: "},
		"torn accounts":   {func(t *testing.T, dir string, _ *config.Settings) { write(t, dir+"/accounts.json", "[{") }, false, "accounts.json"},
		"a key elsewhere": {func(_ *testing.T, _ string, s *config.Settings) { s.Secrets.Ref = "env:SEAL" }, true, "secrets.key in config.json names no file"},
	} {
		dir, s := proxyFiles(t, "sealed")
		tt.prepare(t, dir, s)
		if _, err := Collect(s, tt.withKey); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMove moves all files to other paths, and only those whose paths differ.
func TestMove(t *testing.T) {
	dir, s := proxyFiles(t, "sealed")
	before := tree(t, dir)
	to, err := elsewhere(dir, s.Secrets.Key)
	if err != nil {
		t.Fatal(err)
	}
	hold := func() func() {
		db, err := boltfile.Open(dir+"/state/tokens.db", 0)
		if err != nil {
			t.Fatal(err)
		}
		return func() { _ = db.Close() }
	}
	release := hold()
	if err := Move(io.Discard, s, to); err == nil || !strings.Contains(err.Error(), "stop the proxy first") {
		t.Errorf("beside a proxy: %v", err)
	}
	release()
	write(t, dir+"/new/etc/a.json", "[]")
	if err := Move(io.Discard, s, to); err == nil || !strings.Contains(err.Error(), "is there with another content") {
		t.Errorf("to other files: %v", err)
	}
	if err := os.RemoveAll(dir + "/new"); err != nil {
		t.Fatal(err)
	}
	got := tree(t, dir)
	delete(got, "new.json")
	sameFiles(t, "after the refusals", got, before)

	if err := Move(io.Discard, s, to); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, "moved", tree(t, dir+"/new"), moved(before, true))
	for _, name := range []string{"accounts.json", "seal.key", "state/tokens.db", "state/quota.db", "state/orders.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	var said strings.Builder
	if err := Move(&said, s, to); err != nil || said.String() != "nothing is left to move\n" {
		t.Errorf("again: %v, %q", err, said.String())
	}

	back := *to
	back.OAuth.TokenStore, back.Secrets.Ref = dir+"/state/tokens.db", "env:SEAL"
	if err := Move(io.Discard, to, &back); err != nil {
		t.Fatal(err)
	}
	want := moved(before, true)
	delete(want, "store/t")
	sameFiles(t, "the store alone", tree(t, dir+"/new"), want)
	if got := tree(t, dir)["state/tokens.db"]; got != before["state/tokens.db"] {
		t.Errorf("the store is %.40q", got)
	}
	if err := Move(io.Discard, s, &config.Settings{}); err == nil {
		t.Error("accounts that are nowhere were moved")
	}
}

// TestKilled kills a process after each file that it writes or removes: the next run goes
// on. No proxy can start on half of the files, since the accounts come last and go first.
func TestKilled(t *testing.T) {
	for doing, steps := range map[string]int{"restore": 5, "move": 10} {
		for at := 1; at <= steps; at++ {
			t.Run(fmt.Sprintf("%s, step %d", doing, at), func(t *testing.T) {
				dir, s := proxyFiles(t, "sealed")
				before := tree(t, dir)
				a, err := Collect(s, true)
				if err == nil {
					err = a.Write(filepath.Join(dir, "archive"), false)
				}
				if err != nil {
					t.Fatal(err)
				}
				child := exec.Command("/proc/self/exe")
				child.Env = append(os.Environ(), killedDoing+"="+doing, killedDir+"="+dir, killedStep+"="+strings.Repeat("x", at))
				out, err := child.CombinedOutput()
				if child.ProcessState == nil || child.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the process ended with %v: %s", err, out)
				}
				now := tree(t, dir)
				if _, there := now["new/etc/a.json"]; there != (at >= 5) {
					t.Errorf("the new accounts are there: %v", there)
				}
				if _, there := now["accounts.json"]; there != (at < 6) {
					t.Errorf("the old accounts are there: %v", there)
				}
				if err := do(doing, dir); err != nil {
					t.Fatalf("the next run: %v", err)
				}
				sameFiles(t, "after the next run", tree(t, dir+"/new"), moved(before, true))
				if _, err := os.Stat(dir + "/state/tokens.db"); (err != nil) != (doing == "move") {
					t.Errorf("the old store: %v", err)
				}
			})
		}
	}
}
