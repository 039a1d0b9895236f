package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/testmount"
)

// TestMounted has an accounts file that is mounted by itself, as in a container: with a
// state directory it is restored in place; it cannot be moved away.
func TestMounted(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir, s := proxyFiles(t, "sealed")
	want := moved(tree(t, dir), false)
	a, err := Collect(s, false)
	if err != nil {
		t.Fatal(err)
	}
	to, err := elsewhere(dir, s.Secrets.Key)
	if err != nil {
		t.Fatal(err)
	}
	host, inside := filepath.Join(dir, "host.json"), to.AccountsFile
	write(t, host, "")
	write(t, inside, "")
	testmount.Bind(t, host, inside)

	only := &Archive{Made: a.Made, files: []file{*find(a.files, accountsName)}}
	bare := *to
	bare.StateDir, bare.OAuth.TokenStore = "", ""
	if err := only.Restore(io.Discard, &bare, Options{}); !errors.Is(err, durable.ErrMounted) {
		t.Errorf("without a state directory: %v", err)
	}
	if err := a.Restore(io.Discard, to, Options{}); err != nil {
		t.Fatal(err)
	}
	got := tree(t, filepath.Join(dir, "new"))
	want["etc/a.json"] = "-rw------- " + strings.TrimPrefix(want["etc/a.json"], "-rw-r----- ") // the file is the one that was there
	sameFiles(t, "restored", got, want)
	if tree(t, dir)["host.json"] != want["etc/a.json"] {
		t.Error("the host has another file")
	}
	before := tree(t, dir)
	if err := Move(io.Discard, to, s); err == nil || !strings.Contains(err.Error(), "use backup and restore") {
		t.Errorf("moving it away: %v", err)
	}
	sameFiles(t, "after the refusal", tree(t, dir), before)
}

// TestNoRoom has full and read-only disks: there is no archive then, and no file of several
// is restored.
func TestNoRoom(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	dir, s := proxyFiles(t, "sealed")
	a, err := Collect(s, true)
	if err != nil {
		t.Fatal(err)
	}
	to, err := elsewhere(dir, s.Secrets.Key)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "new", "store")
	write(t, filepath.Join(disk, "x"), "")
	testmount.Disk(t, disk, "1m")
	empty := testmount.Fill(t, disk)
	before := tree(t, dir)
	if err := a.Write(filepath.Join(disk, "archive"), false); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("an archive: %v", err)
	}
	if err := a.Restore(io.Discard, to, Options{WithKey: true}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a restoration: %v", err)
	}
	sameFiles(t, "after the refusals", tree(t, dir), before)
	empty()
	testmount.ReadOnly(t, disk)
	if err := Move(io.Discard, s, to); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a move: %v", err)
	}
	for _, name := range []string{"accounts.json", "seal.key", "state/tokens.db"} {
		if _, ok := tree(t, dir)[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
}

// TestOwner has root, if the test is, restore for the proxy's user: the files belong to the owner of the
// directory, or of the file that they replace.
func TestOwner(t *testing.T) {
	dir, s := proxyFiles(t, "sealed")
	a, err := Collect(s, true)
	if err != nil {
		t.Fatal(err)
	}
	to, err := elsewhere(dir, s.Secrets.Key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to.AccountsFile, "")
	group, ofDir, ofFile := os.Getgid(), os.Getuid(), os.Getuid()
	if os.Getuid() == 0 {
		group, ofDir, ofFile = 4321, 1234, 1235
	}
	if err := errors.Join(os.Chown(filepath.Join(dir, "new"), ofDir, group), os.Chown(to.AccountsFile, ofFile, group)); err != nil {
		t.Fatal(err)
	}
	if err := a.Restore(io.Discard, to, Options{WithKey: false}); err != nil {
		t.Fatal(err)
	}
	for path, uid := range map[string]int{"store": ofDir, "store/t": ofDir, "var/state/quota.db": ofDir, "etc/a.json": ofFile} {
		info, err := os.Stat(filepath.Join(dir, "new", path))
		if err != nil {
			t.Fatal(err)
		}
		if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != group {
			t.Errorf("%s belongs to %d:%d", path, st.Uid, st.Gid)
		}
	}
}
