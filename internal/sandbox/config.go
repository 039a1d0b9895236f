package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
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
	// Tenants have limits for all their mailboxes together. Default: none.
	Tenants []Tenant `json:"tenants"`
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
	// Store is where accepted messages go.
	Store StoreConfig `json:"store"`
	// Latency delays replies.
	Latency Latency `json:"latency"`
	// Faults is the fault script to begin with.
	Faults []Rule `json:"faults"`
	// Record is the number of commands to keep for Server.Commands, without
	// their secrets. Default: 0, none.
	Record int `json:"record"`
	// Spans are lengths of time for GET /peaks: the most messages and recipients that a
	// mailbox had in any span of each length. Default: none.
	Spans []Duration `json:"spans"`
	// Now is the clock of token expiry and limits. Default: time.Now.
	Now func() time.Time `json:"-"`
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
		c.Endpoints[i] = c.Endpoints[i].WithDefaults()
	}
	if c.Accounts == nil {
		c.Accounts = SampleAccounts(2)
	}
	c.Accounts = append([]Account(nil), c.Accounts...)
	for i := range c.Accounts {
		c.Accounts[i] = c.Accounts[i].WithDefaults()
	}
	c.HTTP = cmp.Or(c.HTTP, "127.0.0.1:0")
	c.Limits = cmp.Or(c.Limits, "on")
	c.Tokens, c.Store = c.Tokens.WithDefaults(), c.Store.WithDefaults()
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}
