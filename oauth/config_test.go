package oauth

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	tests := []struct {
		want string
		set  func(*Config)
	}{
		{"oauth.timeout: 0s is not positive", func(c *Config) { c.Timeout = 0 }},
		{"oauth.connect_timeout: -1s is not positive", func(c *Config) { c.ConnectTimeout = -time.Second }},
		{"oauth.idle_timeout: 0s is not positive", func(c *Config) { c.IdleTimeout = 0 }},
		{"oauth.queue_timeout: 0s is not positive", func(c *Config) { c.QueueTimeout = 0 }},
		{"oauth.backoff_min: 0s is not positive", func(c *Config) { c.BackoffMin = 0 }},
		{"oauth.backoff_max: 1ms is below backoff_min (1s)", func(c *Config) { c.BackoffMax = time.Millisecond }},
		{"oauth.early_refresh_window: -1s is negative", func(c *Config) { c.EarlyRefreshWindow = -time.Second }},
		{"oauth.max_parallel: 0 is not in 1..10000", func(c *Config) { c.MaxParallel = 0 }},
		{"oauth.max_parallel: 10001 is not in 1..10000", func(c *Config) { c.MaxParallel = 10001 }},
		{"oauth.connections_per_host: 0 is not in 1..10000", func(c *Config) { c.ConnectionsPerHost = 0 }},
		{"oauth.default_lifetime: 0s is not positive", func(c *Config) { c.DefaultLifetime = 0 }},
		{"oauth.proxy: the proxy URL must be http:// or https:// with a host and nothing behind it", func(c *Config) { c.Proxy = account.NewSecret("ftp://example.com") }},
		{"oauth.ca_file: open /does/not/exist: no such file or directory", func(c *Config) { c.CAFile = "/does/not/exist" }},
		{"oauth.ca_file: config.go has no certificate in PEM form", func(c *Config) { c.CAFile = "config.go" }},
	}
	for _, tt := range tests {
		c := DefaultConfig()
		tt.set(&c)
		if err := c.Validate(); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
