package config

import (
	"time"

	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/upstream"
)

// breakerDraft is what a provider's section says about its circuit breaker.
type breakerDraft struct {
	enabled  keyfile.Given[bool]
	failures keyfile.Given[int]
	recovery keyfile.Given[time.Duration]
}

// settle makes the breaker of a provider out of the common one; ok is false if the
// section says nothing about it.
func (d *breakerDraft) settle(common upstream.BreakerConfig) (b upstream.BreakerConfig, ok bool) {
	b = common
	if d.failures.OK() {
		b.Failures = d.failures.Value
	}
	if d.recovery.OK() {
		b.Recovery = d.recovery.Value
	}
	if d.enabled.OK() && !d.enabled.Value {
		b.Failures = 0
	}
	return b, d.failures.OK() || d.recovery.OK() || d.enabled.OK()
}

// oneProbe is the reason why half_open_max_calls has no effect.
const oneProbe = "one connection at a time tries an endpoint that does not answer"

// breakerKeys are circuit_breaker of a provider.
func breakerKeys[T any](b func(*T) *breakerDraft) []keyfile.Key[T] {
	return []keyfile.Key[T]{
		keyfile.Opt("circuit_breaker.enabled", keyfile.Boolean, func(t *T) *keyfile.Given[bool] { return &b(t).enabled },
			"false tries an endpoint that does not answer for every account; default true"),
		keyfile.Opt("circuit_breaker.failure_threshold", keyfile.Whole(1, 1000), func(t *T) *keyfile.Given[int] { return &b(t).failures },
			"failures in a row to connect to the provider, of all its accounts, after which none is tried for a while; refused logins do not count; default upstream.breaker_failures"),
		keyfile.Opt("circuit_breaker.recovery_timeout_seconds", accountkeys.Timeout, func(t *T) *keyfile.Given[time.Duration] { return &b(t).recovery },
			"how long the provider is not tried then; default upstream.breaker_recovery"),
		keyfile.NoEffect[T]("circuit_breaker.half_open_max_calls", oneProbe),
	}
}
