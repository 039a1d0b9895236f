package config

import (
	"maps"
	"testing"
	"time"

	"xoauth2-proxy/upstream"
)

func TestBreakers(t *testing.T) {
	s, _, report := mustLoad(t, `{
		"upstream": {"breaker_failures": 7, "breaker_recovery": "20s"},
		"providers": {
			"gmail": {"circuit_breaker": {"enabled": true, "failure_threshold": 3, "recovery_timeout_seconds": 60, "half_open_max_calls": 2}},
			"outlook": {"circuit_breaker": {"enabled": false}},
			"own": {`+own+` "smtp_port": 2587, "circuit_breaker": {"failure_threshold": 9}},
			"other": {"smtp_host": "smtp.other.example", "token_url": "https://other.example/token"}}}`, "")
	if want := (upstream.BreakerConfig{Failures: 7, Recovery: 20 * time.Second}); s.Upstream.Breaker != want {
		t.Errorf("for all: %v, want %v", s.Upstream.Breaker, want)
	}
	want := map[string]upstream.BreakerConfig{
		"smtp.gmail.com:587":             {Failures: 3, Recovery: time.Minute},
		"smtp.office365.com:587":         {Recovery: 20 * time.Second},
		s.Providers["own"].SMTP.String(): {Failures: 9, Recovery: 20 * time.Second},
	}
	if !maps.Equal(s.Upstream.Breakers, want) {
		t.Errorf("%v, want %v", s.Upstream.Breakers, want)
	}
	checkReport(t, report, "providers.gmail.circuit_breaker.half_open_max_calls = 2: ignored: "+oneProbe)
}

func TestStateDirIsNoted(t *testing.T) {
	const note = "no state_dir: what accounts have sent today is forgotten at a restart, and without a token store what an operator has paused too"
	_, _, report := mustLoad(t, "", "")
	checkReport(t, report, note)
	s, _, report := mustLoad(t, `{"state_dir": "/var/lib/xoauth2-proxy"}`, "")
	for _, line := range report.Lines() {
		if line == note {
			t.Errorf("noted with %s", s.StateDir)
		}
	}
}
