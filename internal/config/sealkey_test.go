package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/seal"
)

// TestSealKeyModes has key files with the modes that containers give them: a key that
// every user can read is used, with a warning.
func TestSealKeyModes(t *testing.T) {
	path := write(t, t.TempDir(), "key", seal.GenerateKey())
	for mode, warned := range map[os.FileMode]bool{0o400: false, 0o600: false, 0o640: false, 0o444: true, 0o644: true, 0o604: true} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		s, _, report := mustLoad(t, fmt.Sprintf(`{"secrets": {"key": "file:%s"}}`, path), "")
		said := strings.Join(report.Lines(), "\n")
		if !s.Secrets.Key.CanSeal() || strings.Contains(said, ": warning: every user can read the file") != warned {
			t.Errorf("mode %04o: %s", mode, said)
		}
	}
}

// TestKeysInPlaceOfAFile has keys for a key file that does not exist yet. They are for no
// file that is there, and for no key that is elsewhere.
func TestKeysInPlaceOfAFile(t *testing.T) {
	dir := t.TempDir()
	given, err := seal.ParseKeyring(seal.GenerateKey())
	if err != nil {
		t.Fatal(err)
	}
	there := write(t, dir, "there", seal.GenerateKey())
	inFile, err := seal.LoadKeyring("file:" + there)
	if err != nil {
		t.Fatal(err)
	}
	for ref, tt := range map[string]struct {
		given *seal.Keyring
		want  string // name of the key; "": an error
	}{
		"file:" + filepath.Join(dir, "none"):  {given, given.ID()},
		"file:" + filepath.Join(dir, "none2"): {nil, ""},
		"file:" + there:                       {given, inFile.ID()},
		"file:" + write(t, dir, "bad", "x"):   {given, ""},
		"file:none":                           {given, ""},
		"env:NO_SUCH_SEAL_KEY":                {given, ""},
	} {
		s, err := LoadSettingsWith(tt.given, write(t, dir, "config.json", fmt.Sprintf(`{"secrets": {"key": %q}}`, ref)), "")
		switch {
		case tt.want == "":
			if err == nil || !strings.Contains(err.Error(), "secrets.key") {
				t.Errorf("%s: %v", ref, err)
			}
		case err != nil:
			t.Errorf("%s: %v", ref, err)
		case s.Secrets.Key.ID() != tt.want || s.Secrets.Ref != ref:
			t.Errorf("%s: key %s of %s", ref, s.Secrets.Key.ID(), s.Secrets.Ref)
		}
	}
}
