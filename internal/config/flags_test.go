package config

import (
	"reflect"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
)

func TestOverride(t *testing.T) {
	s := newDefaults()
	if err := s.Override(Flags{}); err != nil || !reflect.DeepEqual(s, newDefaults()) {
		t.Errorf("no flags: %v, %+v", err, s)
	}
	s.Admin.Token = account.NewSecret("0123456789abcdef")
	err := s.Override(Flags{Host: "::1", Port: new(25), AdminHost: "0.0.0.0", AdminPort: new(9999), GlobalConcurrency: new(100), DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.Server.Listeners[0].Address != "[::1]:25" || s.Admin.Address != "0.0.0.0:9999" || s.Upstream.GlobalConcurrency != 100 || !s.Upstream.DryRun {
		t.Errorf("%+v", s)
	}
	if err := s.Override(Flags{Port: new(0), GlobalConcurrency: new(0)}); err != nil || s.Server.Listeners[0].Address != "[::1]:0" || s.Upstream.GlobalConcurrency != 0 {
		t.Errorf("zeros: %v, %v, %d", err, s.Server.Listeners, s.Upstream.GlobalConcurrency)
	}
}

func TestOverrideRefuses(t *testing.T) {
	tests := []struct {
		name  string
		flags Flags
		pprof bool
		want  string
	}{
		{"exposed", Flags{Host: "0.0.0.0"}, false, "--host, --port: 0.0.0.0:2525 is reachable from other hosts, and whoever connects can send as any account; set listeners[].allow"},
		{"name", Flags{Host: "mail.example.com"}, false, `--host, --port: "mail.example.com" must be an IP address or "localhost"`},
		{"port", Flags{Port: new(70000)}, false, "--host, --port: port 70000 is not in 0..65535"},
		{"admin port", Flags{AdminPort: new(-1)}, false, "--admin-host, --admin-port: port -1 is not in 0..65535"},
		{"admin beyond loopback", Flags{AdminHost: "0.0.0.0"}, false, "--admin-host, --admin-port: the admin API can change accounts"},
		{"profiles", Flags{AdminHost: "0.0.0.0"}, true, "--admin-host, --admin-port: profiles show memory"},
		{"concurrency", Flags{GlobalConcurrency: new(-5)}, false, "--global-concurrency: -5 must be positive"},
		{"all at once", Flags{Port: new(-1), AdminPort: new(-1)}, false, "--host, --port: port -1 is not in 0..65535\n--admin-host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, want := newDefaults(), newDefaults()
			s.Admin.Pprof, want.Admin.Pprof = tt.pprof, tt.pprof
			if err := s.Override(tt.flags); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if !reflect.DeepEqual(s, want) {
				t.Errorf("the settings changed: %+v", s)
			}
		})
	}
}

// An allow list in the file serves the address of the command line too.
func TestOverrideKeepsAllow(t *testing.T) {
	s, _, _ := mustLoad(t, `{"listeners": [{"address": "127.0.0.1:2525", "allow": ["10.0.0.0/8"]}]}`, "")
	if err := s.Override(Flags{Host: "0.0.0.0"}); err != nil {
		t.Fatal(err)
	}
	if s.Server.Listeners[0].Address != "0.0.0.0:2525" || len(s.Server.Listeners[0].Allow) != 1 {
		t.Errorf("%v", s.Server.Listeners)
	}
}
