package upstream

import (
	"strings"
	"testing"
	"time"
)

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: %v", err)
	}
	tests := []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Shards = -1 }, "upstream.shards: -1 is not in 0..1024"},
		{func(c *Config) { c.EhloName = "a b\r\n" }, `upstream.ehlo_name: "a b\r\n" is not a host name`},
		{func(c *Config) { c.GlobalConcurrency = -1 }, "upstream.global_concurrency: -1 is negative"},
		{func(c *Config) { c.MaxWaiting = 0 }, "upstream.max_waiting: 0 must be positive"},
		{func(c *Config) { c.MaxWaitingPerAccount = 0 }, "upstream.max_waiting_per_account: 0 must be positive"},
		{func(c *Config) { c.HoldTimeout = 0 }, "upstream.hold_timeout: 0s must be positive"},
		{func(c *Config) { c.TransactionTimeout = 10 * time.Minute }, "upstream.transaction_timeout: 10m0s is not below the 10m0s"},
		{func(c *Config) { c.BackoffMax = time.Millisecond }, "upstream.backoff_max: 1ms is less than backoff_min"},
		{func(c *Config) { c.ThrottleRecovery = 0 }, "upstream.throttle_recovery: 0s must be positive"},
		{func(c *Config) { c.PrewarmConnections = -1 }, "upstream.prewarm_connections: -1 is negative"},
		{func(c *Config) { c.PrewarmRate = 0 }, "upstream.prewarm_rate: 0 is not in 1..1000"},
		{func(c *Config) { c.DNSCacheTTL = -1 }, "upstream.dns_cache_ttl: -1ns is negative"},
		{func(c *Config) { c.Breaker.Recovery = 0 }, "upstream.circuit_breaker: recovery of 0s must be positive"},
		{func(c *Config) { c.Breakers = map[string]BreakerConfig{"h:1": {Failures: 1}} }, "upstream.circuit_breaker: recovery"},
	}
	for _, tt := range tests {
		cfg := DefaultConfig()
		tt.change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
	bad := Config{}
	if err := bad.Validate(); strings.Count(err.Error(), "\n") < 10 {
		t.Errorf("not all problems at once: %v", err)
	}
}
