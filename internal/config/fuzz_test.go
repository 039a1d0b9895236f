package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
)

// FuzzFiles loads arbitrary files. It must not panic, and: a refused file says
// where and why on one line for each mistake; an accepted one yields settings
// that keep the rules, and comments and white space do not change it.
func FuzzFiles(f *testing.F) {
	for _, pattern := range []string{"testdata/*.json", "testdata/*/*.json", samples + "*.json"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		problems, report := loadBytes(t, data)
		minimal, err := hujson.Minimize(append([]byte(nil), data...))
		if err != nil {
			return
		}
		again, reportAgain := loadBytes(t, minimal)
		if problems != again || report != reportAgain {
			t.Errorf("minimized, the file is read differently: %d and %d problems, %d and %d entries", problems, again, report, reportAgain)
		}
	})
}

// loadBytes loads data as configuration and as accounts, and returns the
// number of problems and of entries of the report.
func loadBytes(t *testing.T, data []byte) (problemCount, entryCount int) {
	t.Helper()
	var ps problems
	report := new(Report)
	if cf := parseFile("config.json", append([]byte(nil), data...), &ps, report); cf != nil {
		before := len(ps)
		settings := readConfig(cf)
		if len(ps) == before {
			checkSettings(t, settings)
		}
		if snapshot := readAccounts(cf, settings.Accounts()); snapshot != nil {
			for _, a := range snapshot.All() {
				if a.Email == "" || a.ID == "" || a.TokenURL == "" && len(a.TokenCommand) == 0 || a.SMTP.Host == "" || a.SMTP.TLS == "" || a.RefreshToken.IsZero() == (a.TokenFlow() == account.FlowRefreshToken) || a.CheckCatchAll() != nil || a.RefreshMargin <= 0 {
					t.Errorf("account %+v", a)
				}
				p := settings.Providers[a.Provider]
				if p.Ceilings.MaxConnections.Exceeded(a.Limits.MaxConnections) || p.Ceilings.MessagesPerMinute.Exceeded(a.Limits.MessagesPerMinute) || a.Limits.MaxConnections < 1 {
					t.Errorf("limits %+v above %+v", a.Limits, p.Ceilings)
				}
			}
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
	if _, ok := errors.AsType[*Problem](ps.err()); ok != (len(ps) > 0) {
		t.Error("problems are no error")
	}
	return len(ps), len(report.entries)
}

func checkSettings(t *testing.T, s *Settings) {
	t.Helper()
	if len(s.Listeners) == 0 || s.Server.ContentBudget < s.Server.MaxMessageSize || s.Upstream.TransactionTimeout <= 0 || s.Upstream.QueueSize < 1 {
		t.Errorf("settings %+v", s)
	}
	for _, l := range s.Listeners {
		if l.Address == "" {
			t.Errorf("listener %v has no address", l)
		}
		if err := checkExposure(l); err != nil {
			t.Errorf("listener %v: %v", l, err)
		}
	}
}
