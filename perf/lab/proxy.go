package lab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// A Proxy is the proxy under load.
type Proxy struct {
	*Process
	Addr  string
	Admin string // the base of its admin side
	// Socket is its admin socket; a version that has none does not make it.
	Socket string
}

// A Setup is how a proxy is run.
type Setup struct {
	Program     string         // "": the one of the bench
	Connections int            // of each account to the provider
	Sections    map[string]any // merged into its configuration
	Env         []string       // added to its environment, as NAME=VALUE
	Args        []string       // further flags
}

// StartProxy starts the proxy towards the provider, with its files in dir and
// so many connections for each account. Every feature is on, and pprof. The
// sections in more are merged into its configuration.
func StartProxy(programs Programs, dir string, provider *Provider, connections int, more ...map[string]any) (*Proxy, error) {
	setup := Setup{Connections: connections, Sections: map[string]any{}}
	for _, sections := range more {
		Merge(setup.Sections, sections)
	}
	return StartProxyWith(programs, dir, provider, setup)
}

// StartProxyWith is StartProxy for those who need more.
func StartProxyWith(programs Programs, dir string, provider *Provider, setup Setup) (*Proxy, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	adminPort, err := FreePort()
	if err != nil {
		return nil, err
	}
	config, socket := filepath.Join(dir, "proxy.json"), filepath.Join(dir, fmt.Sprintf("admin%d.sock", adminPort))
	settings := map[string]any{
		"upstream": map[string]any{"ca_file": provider.CA, "acquire_timeout": "30s"},
		"admin":    map[string]any{"pprof": true, "socket": socket},
		"providers": map[string]any{ProviderName: map[string]any{
			"smtp_host": "localhost", "token_url": provider.API + "/token",
			"max_concurrent_messages": setup.Connections,
			"connection_pool":         map[string]any{"max_connections_per_account": setup.Connections, "max_messages_per_connection": 0},
			"rate_limiting":           map[string]any{"logins_per_minute": 0},
		}},
	}
	Merge(settings, setup.Sections)
	if err := WriteJSON(config, settings); err != nil {
		return nil, err
	}
	p := &Proxy{Addr: fmt.Sprintf("127.0.0.1:%d", port), Admin: fmt.Sprintf("http://127.0.0.1:%d", adminPort), Socket: socket}
	p.Process, err = StartEnv(setup.Env, cmp.Or(setup.Program, programs.Proxy), append([]string{
		"serve", "--config", config, "--accounts", provider.Accounts, "--host", "127.0.0.1", "--port", strconv.Itoa(port),
		"--admin-host", "127.0.0.1", "--admin-port", strconv.Itoa(adminPort)}, setup.Args...)...)
	if err != nil {
		return nil, err
	}
	p.Discard()
	if err := p.WaitReady(p.Addr); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Merge puts what is in from into the settings; sections that are in both are
// merged likewise.
func Merge(settings, from map[string]any) {
	for key, value := range from {
		have, isSection := settings[key].(map[string]any)
		more, bringsSection := value.(map[string]any)
		if isSection && bringsSection {
			Merge(have, more)
			continue
		}
		settings[key] = value
	}
}

// WriteJSON writes a file that only its owner may read, as it looks like one
// with secrets.
func WriteJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(text, '\n'), 0o600)
}
