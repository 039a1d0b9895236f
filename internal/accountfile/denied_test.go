package accountfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/testmount"
)

// editDenied tries to change, and to rehearse a change of, the file at path.
func editDenied(t *testing.T, path string, want error, parts ...string) {
	t.Helper()
	for _, how := range []EditOptions{{}, {DryRun: true, Rehearse: true}} {
		b := testBasis()
		b.Path = path
		_, err := Edit(b, how, func(l *List) error { return l.RemoveEmail("a@gmail.com") })
		if !errors.Is(err, want) {
			t.Fatalf("%+v: %v", how, err)
		}
		for _, part := range append(parts, filepath.Dir(path)) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("no %q in %v", part, err)
			}
		}
	}
}

func deniedFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), Name)
	text := `[{"email": "a@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "s", "refresh_token": "r"}, {"email": "b@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "s", "refresh_token": "r2"}]`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestReadOnlyDirectory is the file system that systemd's ProtectSystem=strict gives.
func TestReadOnlyDirectory(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	path := deniedFile(t)
	testmount.ReadOnly(t, filepath.Dir(path))
	editDenied(t, path, syscall.EROFS, "ReadWritePaths=", "StateDirectory=")
}

// TestDirectoryOfAnother has a directory in which the user may not write.
func TestDirectoryOfAnother(t *testing.T) {
	if !testmount.AsUser(t) {
		return
	}
	path := deniedFile(t)
	if err := os.Chmod(filepath.Dir(path), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Dir(path), 0o700) })
	editDenied(t, path, os.ErrPermission, "must be able to write in")
}
