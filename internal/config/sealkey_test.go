package config

import (
	"fmt"
	"os"
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
