package lab

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Programs are the built programs.
type Programs struct{ Proxy, Loadgen, Sink string }

// BuildAll builds all of them into dir, except the proxy if there is one
// already: that of another version, for a comparison.
func BuildAll(dir, proxy string) (Programs, error) {
	packages := []string{"xoauth2-proxy/loadgen", "xoauth2-proxy/perf/sink", "xoauth2-proxy/cmd/xoauth2-proxy"}
	if proxy != "" {
		packages = packages[:2]
	}
	built, err := Build(dir, packages...)
	if err != nil {
		return Programs{}, err
	}
	if proxy == "" {
		proxy = built[2]
	}
	return Programs{Proxy: proxy, Loadgen: built[0], Sink: built[1]}, nil
}

// A Provider is what the proxy relays to: the sandbox or the sink.
type Provider struct {
	*Process
	Plain    string // its clear-text address; the sandbox has none
	API      string // the base of its HTTP side
	Accounts string // an accounts.json for the proxy
	CA       string // the certificate to trust
}

// benchProvider is the provider's name in the proxy's files: one that no limits
// are known of.
const benchProvider = "bench"

// StartSandbox starts the sandbox with so many accounts, without limits, that
// takes so long to answer the end of each message.
func StartSandbox(programs Programs, dir string, accounts int, latency time.Duration) (*Provider, error) {
	process, err := Start(programs.Proxy, "sandbox", "--dir", dir, "--http", "127.0.0.1:0", "--accounts", strconv.Itoa(accounts),
		"--limits", "off", "--store", "count", "--latency", latency.String())
	if err != nil {
		return nil, err
	}
	p := &Provider{Process: process, Accounts: filepath.Join(dir, "accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	for line := ""; line != "ready"; {
		if line, err = p.Line(); err != nil {
			p.Stop()
			return nil, err
		}
		if _, api, ok := strings.Cut(line, "API: "); ok {
			p.API = api
		}
	}
	p.discard()
	if err := renameProvider(p.Accounts); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// renameProvider makes all accounts of a file those of benchProvider.
func renameProvider(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var root struct {
		Accounts []map[string]any `json:"accounts"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, a := range root.Accounts {
		a["provider"] = benchProvider
	}
	return writeJSON(file, root)
}

// StartSink starts the sink, with files for a proxy of so many accounts.
func StartSink(programs Programs, dir string, accounts int) (*Provider, error) {
	p := &Provider{Accounts: filepath.Join(dir, "accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	var err error
	if p.Process, err = Start(programs.Sink, "-ca", p.CA); err != nil {
		return nil, err
	}
	line, err := p.Line()
	var at struct{ Plain, TLS, HTTP string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &at)
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	p.discard()
	p.Plain, p.API = at.Plain, "http://"+at.HTTP
	_, port, _ := net.SplitHostPort(at.TLS)
	list := make([]map[string]any, accounts)
	for i := range list {
		list[i] = map[string]any{
			"account_id": fmt.Sprintf("bench-%d", i+1), "email": fmt.Sprintf("user%d@example.com", i+1), "provider": benchProvider,
			"client_id": "bench", "client_secret": "bench", "refresh_token": fmt.Sprintf("refresh-%d", i+1),
			"oauth_token_url": p.API + "/token", "oauth_endpoint": "localhost:" + port,
		}
	}
	if err := writeJSON(p.Accounts, map[string]any{"accounts": list}); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// A Proxy is the proxy under load.
type Proxy struct {
	*Process
	Addr  string
	Admin string // the base of its admin side
}

// StartProxy starts the proxy towards the provider, with its files in dir and
// so many connections for each account. Every feature is on, and pprof. The
// sections in more are added to its configuration.
func StartProxy(programs Programs, dir string, provider *Provider, connections int, more ...map[string]any) (*Proxy, error) {
	config := filepath.Join(dir, "proxy.json")
	settings := map[string]any{
		"upstream": map[string]any{"ca_file": provider.CA, "acquire_timeout": "30s"},
		"admin":    map[string]any{"pprof": true},
		"log":      map[string]any{"level": "warn"},
		"providers": map[string]any{benchProvider: map[string]any{
			"smtp_host": "localhost", "token_url": provider.API + "/token",
			"max_concurrent_messages": connections,
			"connection_pool":         map[string]any{"max_connections_per_account": connections, "max_messages_per_connection": 0},
			"rate_limiting":           map[string]any{"logins_per_minute": 0},
		}},
	}
	for _, sections := range more {
		maps.Copy(settings, sections)
	}
	if err := writeJSON(config, settings); err != nil {
		return nil, err
	}
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	adminPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", port), Admin: fmt.Sprintf("http://127.0.0.1:%d", adminPort)}
	p.Process, err = Start(programs.Proxy, "serve", "--config", config, "--accounts", provider.Accounts,
		"--host", "127.0.0.1", "--port", strconv.Itoa(port), "--admin-host", "127.0.0.1", "--admin-port", strconv.Itoa(adminPort))
	if err != nil {
		return nil, err
	}
	p.discard()
	if err := p.WaitReady(p.Addr); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// writeJSON writes a file that only its owner may read, as it looks like one
// with secrets.
func writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o600)
}
