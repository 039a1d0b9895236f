package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestFatalErrors: what keeps the proxy from starting is told in the configured format, on
// standard error and nowhere twice.
func TestFatalErrors(t *testing.T) {
	for _, tt := range []struct {
		name, format, config, accounts string // config is more of config.json
		code                           int
		want                           string
	}{
		{"accounts", "json", "", `[{"email": "a@gmail.com"}]`, exitConfig, "client_id"},
		{"accounts", "text", "", `[{"email": "a@gmail.com"}]`, exitConfig, "client_id"},
		{"start", "json", `, "state_dir": "/dev/null/x"`, "", exitFailure, "state_dir"},
		{"start", "text", `, "state_dir": "/dev/null/x"`, "", exitFailure, "state_dir"},
	} {
		t.Run(tt.name+" "+tt.format, func(t *testing.T) {
			_, f := apptest.NewSandbox(t, "user@gmail.com")
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"log": {"format": %q}, "upstream": {"ca_file": %q}%s}`, tt.format, f.CA, tt.config))
			if tt.accounts != "" {
				f.Accounts = filepath.Join(t.TempDir(), "accounts.json")
				apptest.WriteFile(t, f.Accounts, tt.accounts)
			}
			code, _, stderr := runCLI(t, "serve", "--config", f.Config, "--accounts", f.Accounts, "--port", "0", "--admin-port", "0")
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if code != tt.code || !strings.Contains(stderr, tt.want) {
				t.Fatalf("exit code %d, %s", code, stderr)
			}
			told := 0
			for _, line := range lines {
				var l struct{ Msg, Level string }
				if err := json.Unmarshal([]byte(line), &l); (err == nil) != (tt.format == "json") {
					t.Errorf("not %s: %s", tt.format, line)
				}
				if strings.Contains(line, "cannot start") {
					told++
				}
			}
			if tt.format == "json" && told != 1 {
				t.Errorf("told %d times in %s", told, stderr)
			}
		})
	}
}
