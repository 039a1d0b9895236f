package redisstore

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

func TestURLs(t *testing.T) {
	const secret = "hunter-2b7c"
	for url, want := range map[string]place{
		"redis://127.0.0.1":                {network: "tcp", address: "127.0.0.1:6379"},
		"redis://[::1]:7000/":              {network: "tcp", address: "[::1]:7000"},
		"redis://redis.example.com:6380/3": {network: "tcp", address: "redis.example.com:6380", database: 3},
		"rediss://redis.example.com":       {network: "tcp", address: "redis.example.com:6379", serverName: "redis.example.com"},
		"rediss://[::1]":                   {network: "tcp", address: "[::1]:6379", serverName: "::1"},
		"unix:///run/redis/../r.sock":      {network: "unix", address: "/run/r.sock"},
	} {
		if got, err := parseURL(url); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", url, got, err, want)
		}
	}
	for url, want := range map[string]string{
		"redis://:" + secret + "@127.0.0.1":    "share.password",
		"rediss://proxy:" + secret + "@h:6379": "share.password",
		"redis://proxy@h":                      "share.username",
		"redis://:" + secret + "\x7f@h":        "must be a URL",
		"redis://h?password=" + secret:         "options",
		"redis://h#" + secret:                  "options",
		"redis://h:0":                          "port",
		"redis://h:70000":                      "port",
		"redis://":                             "host",
		"redis://:6379":                        "host",
		"redis://h/" + secret:                  "database",
		"redis://h/-1":                         "database",
		"valkey://h":                           "redis://",
		"http://h":                             "redis://",
		"127.0.0.1:6379":                       "must be a URL",
		"redis.example.com":                    "redis://",
		"unix://run/redis.sock":                "absolute path",
		"unix://":                              "absolute path",
		"unix://proxy:" + secret + "@/run/redis.sock": "share.password",
	} {
		_, err := CheckURL(url)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want one about %q", url, err, want)
		}
		if _, err := Open(Config{URL: url}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: opened with %v", url, err)
		}
	}
}

func TestCertificatesOfTheStore(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.pem"), filepath.Join(dir, "bad.pem")
	cert, key := testkit.PEM(testkit.Certificate("localhost"))
	for path, text := range map[string][]byte{good: cert, bad: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		url, file, want string
	}{
		"right":          {"rediss://localhost", good, ""},
		"of the system":  {"rediss://localhost", "", ""},
		"no certificate": {"rediss://localhost", bad, "has none in PEM form"},
		"no file":        {"rediss://localhost", filepath.Join(dir, "none.pem"), "cannot read"},
		"no TLS":         {"redis://localhost", good, "share.ca_file"},
	} {
		o, err := (&Config{URL: c.url, CAFile: c.file}).option()
		if c.want == "" {
			if err != nil || o.TLSConfig.ServerName != "localhost" || (o.TLSConfig.RootCAs == nil) != (c.file == "") {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want one about %q", name, err, c.want)
		}
	}
}
