package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ProviderName is the provider of the accounts in the proxy's files: one that no
// limits are known of.
const ProviderName = "bench"

// A Provider is what the proxy relays to: the sandbox or the sink.
type Provider struct {
	*Process
	Plain    string // its clear-text address, "" if there is none
	API      string // the base of its HTTP side
	Accounts string // an accounts.json for the proxy
	CA       string // the certificate to trust
	start    func()
}

// Restart ends the provider and starts it again, at the same addresses if it was
// given any.
func (p *Provider) Restart() {
	p.Stop()
	p.start()
}

// StartSink starts the sink, with files for a proxy of so many accounts. It takes
// its pace to answer the end of a message.
func (b *Bench) StartSink(accounts int, pace time.Duration) *Provider {
	dir := b.Folder()
	p := &Provider{Accounts: filepath.Join(dir, "accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	p.Process = b.Start(nil, b.Perf, "sink", "--ca", p.CA, "--pace", pace.String())
	var at struct{ Plain, TLS, HTTP string }
	Check(json.Unmarshal([]byte(p.Line()), &at))
	p.Discard()
	p.Plain, p.API = at.Plain, "http://"+at.HTTP
	_, port, _ := net.SplitHostPort(at.TLS)
	list := make([]map[string]any, accounts)
	for i := range list {
		list[i] = map[string]any{
			"account_id": fmt.Sprintf("bench-%d", i+1), "email": fmt.Sprintf("user%d@example.com", i+1), "provider": ProviderName,
			"client_id": "bench", "client_secret": "bench", "refresh_token": fmt.Sprintf("refresh-%d", i+1),
			"oauth_token_url": p.API + "/token", "oauth_endpoint": "localhost:" + port,
		}
	}
	WriteJSON(p.Accounts, map[string]any{"accounts": list})
	return p
}

// Count asks the sink how many messages it has taken.
func (p *Provider) Count() int64 {
	return Must(strconv.ParseInt(strings.TrimSpace(string(Get(p.API+"/count"))), 10, 64))
}

// A Sandbox is how the sandbox is run. It counts messages and does not keep them.
type Sandbox struct {
	Accounts int
	Latency  time.Duration // to the reply to the end of a message
	// Preset is the kind of the one endpoint that all accounts are at, with the logins
	// of Login. Without one, half of the accounts are at Gmail's and half at
	// Microsoft's.
	Preset string
	// These are for a sandbox with a preset. An endpoint in clear takes passwords
	// instead of tokens.
	InClear     bool
	Connections int    // of an account at most, and all other limits of the preset; 0: no limits
	SMTP, HTTP  string // addresses; "": any that are free
	// Spans are those of GET /peaks.
	Spans []string
}

// Login is an account's login at a sandbox with a preset, from 0.
func Login(n int) string { return fmt.Sprintf("user%d@bench.test", n) }

// StartSandbox starts the sandbox.
func (b *Bench) StartSandbox(s Sandbox) *Provider {
	dir := b.Folder()
	args := []string{"sandbox", "--dir", dir, "--latency", s.Latency.String()}
	if s.Preset == "" {
		args = append(args, "--http", "127.0.0.1:0", "--accounts", strconv.Itoa(s.Accounts), "--limits", "off", "--store", "count")
	} else {
		config := filepath.Join(dir, "sandbox.json")
		WriteJSON(config, s.config())
		args = append(args, "--config", config)
	}
	// The sandbox replaces its own files only as long as they are unchanged.
	p := &Provider{Plain: s.SMTP, Accounts: filepath.Join(dir, "proxy-accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	p.start = func() {
		p.Process = b.Start(nil, b.Proxy, args...)
		for line := ""; line != "ready"; line = p.Line() {
			if _, at, ok := strings.Cut(line, "API: "); ok {
				p.API = at
			}
		}
		p.Discard()
	}
	p.start()
	WriteJSON(p.Accounts, map[string]any{"accounts": readAccounts(filepath.Join(dir, "accounts.json"))})
	return p
}

// config is the configuration of a sandbox with a preset.
func (s Sandbox) config() map[string]any {
	endpoint := map[string]any{"name": "mail", "preset": s.Preset, "tls": "-", "in_clear": s.InClear}
	settings := map[string]any{"endpoints": []any{endpoint}, "limits": "off", "store": map[string]any{"mode": "count"}}
	if s.Spans != nil {
		settings["spans"] = s.Spans
	}
	if s.Connections > 0 {
		endpoint["limits"], settings["limits"] = map[string]int{"connections": s.Connections}, "on"
	}
	if s.SMTP != "" {
		endpoint["starttls"] = s.SMTP
	}
	if s.HTTP != "" {
		settings["http"] = s.HTTP
	}
	accounts := make([]map[string]any, s.Accounts)
	for i := range accounts {
		accounts[i] = map[string]any{"account_id": fmt.Sprintf("bench-%d", i), "email": Login(i), "endpoint": "mail"}
	}
	settings["accounts"] = accounts
	return settings
}

// readAccounts reads the accounts that the sandbox wrote for its proxy, all of
// them made those of our provider.
func readAccounts(file string) []map[string]any {
	list := ReadAccounts(file)
	for _, a := range list {
		a["provider"] = ProviderName
	}
	return list
}

// ReadAccounts reads an accounts.json.
func ReadAccounts(file string) []map[string]any {
	var root struct {
		Accounts []map[string]any `json:"accounts"`
	}
	if err := json.Unmarshal(Must(os.ReadFile(file)), &root); err != nil {
		Failf("%s: %w", file, err)
	}
	return root.Accounts
}

// WriteAccounts replaces an accounts.json whole, as the proxy may read it any time.
func WriteAccounts(file string, list []map[string]any) {
	WriteJSON(file+".new", map[string]any{"accounts": list})
	Check(os.Rename(file+".new", file))
}

// WriteJSON writes a file that only its owner may read, as it looks like one
// with secrets.
func WriteJSON(name string, value any) {
	text := Must(json.MarshalIndent(value, "", "  "))
	Check(os.WriteFile(name, append(text, '\n'), 0o600))
}
