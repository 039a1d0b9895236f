package tokenstore

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"xoauth2-proxy/internal/testmount"
)

// TestForeignFileStays has files of others under the name of the store: neither
// content nor mode changes.
func TestForeignFileStays(t *testing.T) {
	for _, text := range []string{"", "mine", `{"accounts": []}`} {
		path := filepath.Join(t.TempDir(), "tokens.db")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Path: path}); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
		got, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil || string(got) != text || info.Mode().Perm() != 0o644 {
			t.Errorf("%q became %q with mode %v, %v, %v", text, got, info.Mode(), err, statErr)
		}
	}
}

// TestPlacesWithoutRoom has a full disk and a read-only one: no store is left
// there in part.
func TestPlacesWithoutRoom(t *testing.T) {
	if !testmount.Inside(t) {
		return
	}
	for want, prepare := range map[error]func(dir string){
		syscall.ENOSPC: func(dir string) { testmount.Disk(t, dir, "1m"); testmount.Fill(t, dir) },
		syscall.EROFS:  func(dir string) { testmount.ReadOnly(t, dir) },
	} {
		dir := t.TempDir()
		prepare(dir)
		if _, err := Open(Config{Path: filepath.Join(dir, "tokens.db")}); !errors.Is(err, want) {
			t.Errorf("%v: %v", want, err)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "tokens.db*")); len(left) > 0 {
			t.Errorf("%v: left are %q", want, left)
		}
	}
}
