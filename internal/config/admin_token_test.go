package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAdminToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("canary-from-the-file\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ config, want string }{
		{`{"admin": {"address": "0.0.0.0:9090", "token": "canary-in-the-config"}}`, "canary-in-the-config"},
		{`{"admin": {"address": "0.0.0.0:9090", "token_file": "` + file + `"}}`, "canary-from-the-file"},
		{`{"admin": {"token_file": "` + file + `", "token": "canary-in-the-config"}}`, "canary-from-the-file"},
		{`{"admin": {"token": "", "token_file": ""}}`, ""},
	} {
		s, _, report := mustLoad(t, tt.config, "")
		if s.Admin.Token.Reveal() != tt.want {
			t.Errorf("%s: %q", tt.config, s.Admin.Token.Reveal())
		}
		if said := strings.Join(report.Lines(), "\n"); strings.Contains(said, "canary") {
			t.Errorf("the report shows the token: %s", said)
		}
	}
}
