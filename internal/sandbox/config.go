package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Config describes a sandbox. The zero value is one to use in a test: a Gmail
// and an Outlook endpoint on free ports of 127.0.0.1, two sample accounts,
// messages kept in memory.
type Config struct {
	// Endpoints are the SMTP submission servers. Default: one of preset
	// "gmail" and one of preset "outlook".
	Endpoints []Endpoint `json:"endpoints"`
	// HTTP is the listen address of the token endpoint and the API.
	// Default: "127.0.0.1:0", a free port.
	HTTP string `json:"http"`
	// Accounts are the mailboxes. Default: SampleAccounts(2).
	Accounts []Account `json:"accounts"`
	// Clients are the applications and service accounts beside the accounts'
	// own clients. Default: none.
	Clients []Client `json:"clients"`
	// Limits is "on" (default): the limits of each endpoint are enforced; or
	// "off": everything is counted and nothing is refused, for load runs.
	Limits string `json:"limits"`
	// Tokens rules the token endpoint.
	Tokens TokenConfig `json:"tokens"`
	// Store says what becomes of accepted messages.
	Store StoreConfig `json:"store"`
	// Latency delays replies.
	Latency Latency `json:"latency"`
	// Faults is the fault script to begin with.
	Faults []Rule `json:"faults"`
	// Record is the number of commands to keep for Server.Commands, without
	// their secrets. Default: 0, none.
	Record int `json:"record"`
	// Now is the clock of token expiry and limits. Default: time.Now.
	Now func() time.Time `json:"-"`
}

// Endpoint is one SMTP submission server.
type Endpoint struct {
	// Name is how accounts and Server.Addr refer to it. Default: the preset.
	Name string `json:"name"`
	// Preset is "gmail", "outlook" or "plain": EHLO keywords, reply texts and
	// limits. "plain" offers SIZE, 8BITMIME and AUTH XOAUTH2 only.
	Preset string `json:"preset"`
	// StartTLS and TLS are the listen addresses of the STARTTLS and of the
	// implicit TLS port; "-" opens none. Default: "127.0.0.1:0", a free port.
	StartTLS string `json:"starttls"`
	TLS      string `json:"tls"`
	// Keywords replace the EHLO keywords of the preset, given as after TLS
	// ("SIZE 1000", "AUTH XOAUTH2"); in clear, AUTH gives way to STARTTLS.
	Keywords []string `json:"keywords"`
	// Refuse has verbs that are refused though they are offered, with the reply
	// ("BDAT": "502 5.5.1 Not implemented"); an empty one is never answered. With
	// 500, 502 and 504 the server does not know BDAT, so that its content is read
	// as commands; with any other reply the content is read and forgotten.
	Refuse map[string]string `json:"refuse"`
	// Replies replace the preset's replies to what goes beyond a limit, by the
	// name of the limit ("command_line": "500 5.5.2 Line too long"). See
	// ReplyNames.
	Replies map[string]string `json:"replies"`
	// Limits replace those limits of the preset that are not 0.
	Limits Limits `json:"limits"`
	// TLSVersion is "1.2" or "1.3" to allow only that one. Default: both.
	TLSVersion string `json:"tls_version"`
	// InClear makes of the STARTTLS port what no provider has: one without TLS
	// and without tokens, where AUTH PLAIN with any password opens the mailboxes
	// of the endpoint. It is for measuring a load with nothing between the
	// client and the provider; all else is as strict as ever.
	InClear bool `json:"in_clear"`
}

// TokenConfig rules the token endpoint.
type TokenConfig struct {
	// Lifetime of an access token, sent as expires_in. Default: 3599s.
	Lifetime Duration `json:"lifetime"`
	// Rotation is "preset" (default): a new refresh token with every answer for
	// outlook accounts and none for gmail; or "on"; or "off".
	Rotation string `json:"rotation"`
	// Length of access tokens in characters. Default: about that of the
	// provider's, 220 for gmail and 1800 for outlook.
	Length int `json:"length"`
	// Consent is "auto" (default): whoever is asked for consent gives it at
	// once; or "manual": it waits for Server.Consent or the page at /consent.
	Consent string `json:"consent"`
	// DevicePoll is the polling interval of device codes, in whole seconds: who
	// asks sooner is told to slow down. Default: 5s.
	DevicePoll Duration `json:"device_poll"`
	// CodeLifetime is how long device and authorization codes are good.
	// Default: 10m.
	CodeLifetime Duration `json:"code_lifetime"`
	// InvalidateOld makes a refresh token invalid once it was rotated. The
	// default is that of Microsoft: the old ones stay valid.
	InvalidateOld bool `json:"invalidate_old"`
}

// Latency delays replies without blocking other connections: the session goes
// on reading, as a distant server would, so pipelined transactions overlap.
type Latency struct {
	// RoundTrip is added to each group of replies, as a distance would.
	RoundTrip Duration `json:"round_trip"`
	// Final is added to the reply to the end of data.
	Final Duration `json:"final"`
	// Commands is added to the replies of these verbs ("MAIL").
	Commands map[string]Duration `json:"commands"`
}

// DecodeConfig reads a configuration in JSON. Unknown keys are errors.
func DecodeConfig(r io.Reader) (Config, error) {
	var cfg Config
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		return Config{}, fmt.Errorf("sandbox configuration: %w", err)
	}
	return cfg, nil
}

// withDefaults returns c with its defaults filled in. It copies what it changes.
func (c Config) withDefaults() Config {
	if len(c.Endpoints) == 0 {
		c.Endpoints = []Endpoint{{Preset: PresetGmail}, {Preset: PresetOutlook}}
	}
	c.Endpoints = append([]Endpoint(nil), c.Endpoints...)
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		setDefault(&e.Preset, PresetPlain)
		setDefault(&e.Name, e.Preset)
		setDefault(&e.StartTLS, anyLoopbackPort)
		setDefault(&e.TLS, anyLoopbackPort)
	}
	if c.Accounts == nil {
		c.Accounts = SampleAccounts(2)
	}
	c.Accounts = append([]Account(nil), c.Accounts...)
	for i := range c.Accounts {
		c.Accounts[i] = c.Accounts[i].WithDefaults()
	}
	setDefault(&c.HTTP, anyLoopbackPort)
	setDefault(&c.Limits, "on")
	setDefault(&c.Tokens.Lifetime, Duration(3599*time.Second))
	setDefault(&c.Tokens.Rotation, "preset")
	setDefault(&c.Tokens.Consent, "auto")
	setDefault(&c.Tokens.DevicePoll, Duration(5*time.Second))
	setDefault(&c.Tokens.CodeLifetime, Duration(10*time.Minute))
	setDefault(&c.Store.Mode, ModeKeep)
	setDefault(&c.Store.MaxBytes, 256<<20)
	setDefault(&c.Store.MaxMessages, 200_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const anyLoopbackPort = "127.0.0.1:0"

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// parseNumber reads a decimal number of at most 18 digits.
func parseNumber(b []byte) (int64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return int64(n), err == nil && len(b) <= 18
}
