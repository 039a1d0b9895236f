package config

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/internal/seal"
)

func TestShare(t *testing.T) {
	dir := t.TempDir()
	key, password := write(t, dir, "key", seal.GenerateKey()), write(t, dir, "password", "store-pw-5531\n")
	other := write(t, dir, "other", seal.GenerateKey())
	s, _, _ := mustLoad(t, fmt.Sprintf(`{"secrets": {"key": "file:%s"}, "share": {"url": "rediss://redis.example.com:6380/2", "ca_file": "/etc/ca.pem", "username": "proxy", "password": "file:%s"}}`, key, password), "")
	host, _ := os.Hostname()
	if c := s.Share; c.URL != "rediss://redis.example.com:6380/2" || c.CAFile != "/etc/ca.pem" || c.Username != "proxy" ||
		c.Password.Reveal() != "store-pw-5531" || c.Node != host || c.Key.ID() != s.Secrets.Key.ID() {
		t.Errorf("%+v", c)
	}
	s, _, _ = mustLoad(t, fmt.Sprintf(`{"secrets": {"key": "file:%s"}, "share": {"url": "unix:///run/r.sock", "node": "mx1", "key": "file:%s"}}`, key, other), "")
	if c := s.Share; c.Node != "mx1" || c.Key.ID() == s.Secrets.Key.ID() || !c.Key.CanSeal() {
		t.Errorf("%+v", c)
	}
	s, _, _ = mustLoad(t, `{}`, "")
	if c := s.Share; c.URL != "" || c.Node != "" || c.Key != nil {
		t.Errorf("without the section %+v", c)
	}
}

func TestBadShare(t *testing.T) {
	const secret = "hunter-92ab"
	key := write(t, t.TempDir(), "key", seal.GenerateKey())
	for section, want := range map[string]string{
		`"url": "redis://:` + secret + `@h", "key": "KEY"`:                        "share.password",
		`"url": "http://h", "key": "KEY"`:                                         "rediss://",
		`"url": "redis://h"`:                                                      "share.key is needed",
		`"url": "redis://h", "key": "` + secret + `"`:                             "file:/path",
		`"url": "redis://h", "key": "file:/no/such/file"`:                         "share.key",
		`"url": "redis://h", "key": "KEY", "ca_file": "/x.pem"`:                   "rediss://",
		`"url": "redis://h", "key": "KEY", "username": "proxy"`:                   "share.password is needed",
		`"url": "redis://h", "key": "KEY", "password": "env:NO_SUCH_PASSWORD_90"`: "NO_SUCH_PASSWORD_90",
		`"url": "redis://h", "key": "KEY", "node": "a|b"`:                         "share.node",
		`"url": "redis://h", "key": "KEY", "node": "a b"`:                         "share.node",
		`"url": "redis://h", "key": "KEY", "outage": "open"`:                      "outage",
		`"password": "` + secret + `"`:                                            "share.url is needed",
		`"username": "proxy"`:                                                     "share.url is needed",
		`"ca_file": "/x.pem"`:                                                     "share.url is needed",
	} {
		dir := t.TempDir()
		config := write(t, dir, "config.json", `{"share": {`+strings.ReplaceAll(section, "KEY", "file:"+key)+`}}`)
		_, _, report, err := Load(config, write(t, dir, "accounts.json", "[]"), nil)
		said := fmt.Sprint(err, report.Lines())
		if !strings.Contains(said, want) || strings.Contains(said, secret) {
			t.Errorf("%s: %s, want something about %q", section, said, want)
		}
	}
}
