package sandbox

import (
	"strings"
	"testing"
	"time"
)

func TestAddAccount(t *testing.T) {
	s := newServer(t, Config{})
	if err := s.AddAccount(Account{Email: "USER@gmail.com"}); err == nil {
		t.Error("an address was added twice")
	}
	if err := s.AddAccount(Account{Email: "new@gmail.com"}); err != nil {
		t.Fatal(err)
	}
	mustDeliver(t, s, "NEW@gmail.com", "x")
	if accounts := s.Accounts(); len(accounts) != 3 || accounts[2].Email != "new@gmail.com" {
		t.Errorf("%+v", accounts)
	}
}

func TestStrictValidation(t *testing.T) {
	cfg := Config{Endpoints: []Endpoint{{Preset: PresetGmail, Refuse: map[string]string{"bdat": "500 x", "DATA": "250 ok"},
		Replies: map[string]string{"x": "500 x", "size": "big"}}}}
	err := cfg.Validate()
	for _, want := range []string{`refuse: "bdat"`, "refuse.DATA", `replies: "x"`, "replies.size"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if got, err := DecodeConfig(strings.NewReader(`{"accounts":[{"email":"a@gmail.com"}],"endpoints":[{"preset":"gmail","refuse":{"BDAT":""},
		"replies":{"command_line":"500 5.5.2 x"},"limits":{"command_line":512,"messages_per_connection":5}}]}`)); err != nil ||
		got.Endpoints[0].Limits.CommandLine != 512 || got.Endpoints[0].Limits.MessagesPerConnection != 5 || got.Validate() != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestConfig(t *testing.T) {
	cfg, err := DecodeConfig(strings.NewReader(`{"limits":"off","spans":["1m","24h"],"endpoints":[{"preset":"plain","keywords":["SIZE 5"],"limits":{"idle_timeout":"3s"}}],
		"accounts":[{"email":"a@b.test","endpoint":"plain"}],"latency":{"round_trip":"20ms","commands":{"MAIL":"1ms"}},
		"store":{"mode":"count"},"tokens":{"lifetime":"5m","rotation":"on"},"faults":[{"phase":"mail","action":"close"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Endpoints[0].Limits.IdleTimeout != Duration(3*time.Second) || cfg.Latency.Commands["MAIL"] != Duration(time.Millisecond) {
		t.Errorf("%+v", cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	if _, err := DecodeConfig(strings.NewReader(`{"limit":"off"}`)); err == nil {
		t.Error("an unknown key was taken")
	}
	bad := Config{
		Endpoints: []Endpoint{{Preset: "x"}, {Name: "e", Preset: "gmail", TLSVersion: "1.1"}, {Name: "e", Preset: "gmail", StartTLS: "0.0.0.0:25"}},
		HTTP:      "example.com:80", Limits: "maybe", Tokens: TokenConfig{Rotation: "x"}, Store: StoreConfig{Mode: "dir"},
		Accounts: []Account{{Email: "a", Provider: "yahoo"}, {Email: "A", Endpoint: "e"}},
		Faults:   []Rule{{}},
		Spans:    []Duration{0},
	}
	err = bad.Validate()
	for _, want := range []string{"endpoints[0].preset", "endpoints[1].tls_version", "endpoints[2].name", "endpoints[2]: ", "http:", "limits:",
		"tokens.rotation", "store.dir", "spans[0]", "accounts[0].email", "accounts[0].provider", "accounts[0].endpoint", `accounts[1].email: "A" is taken`, "faults[0]"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
	if _, err := New(bad); err == nil {
		t.Error("New took it")
	}
	s := newServer(t, Config{})
	if _, err := New(Config{HTTP: s.Addr(PresetGmail)}); err == nil {
		t.Error("listened on a taken port")
	}
}
