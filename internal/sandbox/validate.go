package sandbox

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/store"
)

// Validate reports all problems of a configuration at once, each under its key.
// Defaults count as set.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			bad("%s: %q is none of %s", key, value, strings.Join(allowed, ", "))
		}
	}
	names := map[string]bool{}
	for i, e := range c.Endpoints {
		oneOf(fmt.Sprintf("endpoints[%d].preset", i), e.Preset, PresetGmail, PresetOutlook, PresetPlain)
		if names[e.Name] {
			bad("endpoints[%d].name: %q is taken", i, e.Name)
		}
		names[e.Name] = true
		if e.TLSVersion != "" && e.TLSVersion != "1.2" && e.TLSVersion != "1.3" {
			bad("endpoints[%d].tls_version: %q is neither 1.2 nor 1.3", i, e.TLSVersion)
		}
		for _, err := range e.CheckReplies() {
			bad("endpoints[%d]: %w", i, err)
		}
		for _, addr := range []string{e.StartTLS, e.TLS} {
			if err := checkLoopback(addr); err != nil {
				bad("endpoints[%d]: %w", i, err)
			}
		}
	}
	if err := checkLoopback(c.HTTP); err != nil {
		bad("http: %w", err)
	}
	oneOf("limits", c.Limits, "on", "off")
	oneOf("tokens.rotation", c.Tokens.Rotation, "preset", "on", "off")
	oneOf("tokens.consent", c.Tokens.Consent, "auto", "manual")
	if d := time.Duration(c.Tokens.DevicePoll); d < time.Second || d%time.Second != 0 {
		bad("tokens.device_poll: %v is not in whole seconds", d)
	}
	for i, client := range c.Clients {
		if err := client.Validate(); err != nil {
			bad("clients[%d]: %w", i, err)
		}
	}
	oneOf("store.mode", c.Store.Mode, store.ModeKeep, store.ModeDir, store.ModeCount)
	if c.Store.Mode == store.ModeDir && c.Store.Dir == "" {
		bad("store.dir: needed in mode dir")
	}
	for i, span := range c.Spans {
		if span <= 0 {
			bad("spans[%d]: %v is no length of time", i, time.Duration(span))
		}
	}
	seen := map[string]bool{}
	for i, a := range c.Accounts {
		errs = append(errs, a.Check(i, names, seen)...)
	}
	for i, r := range c.Faults {
		if err := r.Validate(); err != nil {
			bad("faults[%d]: %w", i, err)
		}
	}
	return errors.Join(errs...)
}

// checkLoopback refuses addresses that others can connect to: the secrets of a
// sandbox protect nothing.
func checkLoopback(addr string) error {
	if addr == "-" {
		return nil
	}
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%q is not a loopback address", addr)
	}
	return nil
}
