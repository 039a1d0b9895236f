package main

import (
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestUsage has what people type at first: the words of other programs, and commands
// that are mistyped.
func TestUsage(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		want []string
	}{
		{"--version", 0, []string{"xoauth2-proxy " + version}},
		{"-v", 0, []string{"xoauth2-proxy " + version}},
		{"help", 0, []string{"Usage: xoauth2-proxy", "rotate-key"}},
		{"help accounts verify", 0, []string{"Usage: xoauth2-proxy accounts verify", "Accounts at one time. Default: 16.", "Default: 60s."}},
		{"demo --help", 0, []string{"Default: run.", "0 picks a free one. Default: 9090."}},
		{"serv", exitUsage, []string{`did you mean "serve"?`}},
		{"chek", exitUsage, []string{`did you mean "check"?`}},
		{"acounts list", exitUsage, []string{`did you mean "accounts"?`}},
		{"accounts lst", exitUsage, []string{`did you mean "list"?`}},
		{"accounts verfy --json", exitUsage, []string{`did you mean "verify"?`}},
		{"help backup", 0, []string{"Usage: xoauth2-proxy backup <archive>", "--with-key", "has every secret"}},
		{"help restore", 0, []string{"Usage: xoauth2-proxy restore <archive>", "never replaced"}},
		{"help move", 0, []string{"Usage: xoauth2-proxy move --to-config=FILE --to-accounts=FILE"}},
		{"bakcup x", exitUsage, []string{`did you mean "backup"?`}},
		{"move", exitUsage, []string{"missing flags: --to-accounts=FILE, --to-config=FILE"}},
		{"rotatekey", exitUsage, []string{`did you mean "rotate-key"?`}},
	} {
		apptest.CheckParts(t, strings.Join(strings.Fields(mustRun(t, tt.code, strings.Fields(tt.args)...)), " "), tt.want...)
	}
	for _, far := range []string{"nothing-like-it", "--no-such-flag"} {
		if said := mustRun(t, exitUsage, far); strings.Contains(said, "did you mean") {
			t.Error(said)
		}
	}
}
