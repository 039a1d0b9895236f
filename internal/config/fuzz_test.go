package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/keyfile/keytest"
)

// FuzzSettings reads arbitrary files as config.json. It must not panic, and: a
// refused file says where and why on one line for each mistake; an accepted one
// yields settings that keep the rules, and comments and white space do not change
// it.
func FuzzSettings(f *testing.F) {
	keytest.AddFiles(f, "testdata/*.json", "testdata/*/*.json", samples+"*.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		problems, report := readBytes(t, data)
		minimal, err := hujson.Minimize(append([]byte(nil), data...))
		if err != nil {
			return
		}
		again, reportAgain := readBytes(t, minimal)
		if problems != again || report != reportAgain {
			t.Errorf("minimized, the file is read differently: %d and %d problems, %d and %d entries", problems, again, report, reportAgain)
		}
	})
}

// readBytes reads data as configuration, and returns the number of problems and
// of entries of the report.
func readBytes(t *testing.T, data []byte) (problemCount, entryCount int) {
	t.Helper()
	var ps keyfile.Problems
	report := new(keyfile.Report)
	if f := keyfile.Parse("config.json", append([]byte(nil), data...), &ps, report); f != nil {
		settings := readConfig(f, nil)
		if len(ps) == 0 {
			checkSettings(t, settings)
		}
	}
	for _, line := range report.Lines() {
		if strings.ContainsAny(line, "\r\n") {
			t.Errorf("a line of the report has a line end: %q", line)
		}
	}
	for _, p := range ps {
		if p.File == "" || p.Message == "" || strings.ContainsAny(p.Error(), "\r\n") {
			t.Errorf("problem %q", p)
		}
	}
	if _, ok := errors.AsType[*keyfile.Problem](ps.Err()); ok != (len(ps) > 0) {
		t.Error("problems are no error")
	}
	return len(ps), len(report.Entries())
}

func checkSettings(t *testing.T, s *Settings) {
	t.Helper()
	if len(s.Server.Listeners) == 0 || s.Server.ContentBudget < s.Server.MaxMessageSize || s.Upstream.TransactionTimeout <= 0 || s.Upstream.MaxWaiting < 1 {
		t.Errorf("settings %+v", s)
	}
	for _, l := range s.Server.Listeners {
		if l.Address == "" {
			t.Errorf("listener %v has no address", l)
		}
		if err := checkExposure(l); err != nil {
			t.Errorf("listener %v: %v", l, err)
		}
	}
}
