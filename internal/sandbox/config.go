package sandbox

import (
	"cmp"
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
		e.Preset = cmp.Or(e.Preset, PresetPlain)
		e.Name = cmp.Or(e.Name, e.Preset)
		e.StartTLS = cmp.Or(e.StartTLS, anyLoopbackPort)
		e.TLS = cmp.Or(e.TLS, anyLoopbackPort)
	}
	if c.Accounts == nil {
		c.Accounts = SampleAccounts(2)
	}
	c.Accounts = append([]Account(nil), c.Accounts...)
	for i := range c.Accounts {
		c.Accounts[i] = c.Accounts[i].WithDefaults()
	}
	c.HTTP = cmp.Or(c.HTTP, anyLoopbackPort)
	c.Limits = cmp.Or(c.Limits, "on")
	c.Tokens, c.Store = c.Tokens.WithDefaults(), c.Store.WithDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const anyLoopbackPort = "127.0.0.1:0"

// parseNumber reads a decimal number of at most 18 digits.
func parseNumber(b []byte) (int64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 63)
	return int64(n), err == nil && len(b) <= 18
}
