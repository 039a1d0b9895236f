package lab

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// A Proxy is the proxy under load.
type Proxy struct {
	*Process
	Addr   string
	Admin  string // the base of its admin side
	Config string // its configuration file
	socket string // of its admin API; a version that has none does not make it
	start  func()
}

// A Setup is how a proxy is run.
type Setup struct {
	Program     string         // "": the one of the bench
	Connections int            // of each account to the provider
	Sections    map[string]any // merged into its configuration
	Env         []string       // added to its environment, as NAME=VALUE
	Args        []string       // further flags
}

// StartProxy starts the proxy towards the provider. Every feature is on, and pprof.
func (b *Bench) StartProxy(provider *Provider, setup Setup) *Proxy {
	dir := b.Folder()
	addr, admin := FreeAddress(), FreeAddress()
	config := filepath.Join(dir, "proxy.json")
	p := &Proxy{Addr: addr, Admin: "http://" + admin, Config: config, socket: filepath.Join(dir, "admin.sock")}
	settings := map[string]any{
		"upstream": map[string]any{"ca_file": provider.CA, "acquire_timeout": "30s"},
		"admin":    map[string]any{"pprof": true, "socket": p.socket},
		"providers": map[string]any{ProviderName: map[string]any{
			"smtp_host": "localhost", "token_url": provider.API + "/token",
			"max_concurrent_messages": setup.Connections,
			"connection_pool":         map[string]any{"max_connections_per_account": setup.Connections, "max_messages_per_connection": 0},
			"rate_limiting":           map[string]any{"logins_per_minute": 0},
		}},
	}
	merge(settings, setup.Sections)
	WriteJSON(config, settings)
	host, port, _ := strings.Cut(addr, ":")
	adminHost, adminPort, _ := strings.Cut(admin, ":")
	p.start = func() {
		p.Process = b.Start(setup.Env, cmp.Or(setup.Program, b.Programs.Proxy), append([]string{
			"serve", "--config", config, "--accounts", provider.Accounts, "--host", host, "--port", port,
			"--admin-host", adminHost, "--admin-port", adminPort}, setup.Args...)...)
		p.Discard()
		p.WaitReady(addr)
	}
	p.start()
	return p
}

// Restart ends the proxy and starts it again, at the same addresses.
func (p *Proxy) Restart() {
	p.Stop()
	p.start()
}

// merge copies from into the settings; sections that both have are merged likewise.
func merge(settings, from map[string]any) {
	for key, value := range from {
		have, isSection := settings[key].(map[string]any)
		more, bringsSection := value.(map[string]any)
		if isSection && bringsSection {
			merge(have, more)
			continue
		}
		settings[key] = value
	}
}

// Order posts to the proxy's admin API, by its socket, and returns the answer's
// status. A version without that socket is asked over TCP.
func (p *Proxy) Order(path string) (status int) {
	client := http.Client{Timeout: time.Minute, Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, err := os.Stat(p.socket); err == nil {
			network, address = "unix", p.socket
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	defer client.CloseIdleConnections()
	_, status, err := call(&client, http.MethodPost, p.Admin+path, nil)
	Check(err)
	return status
}

// Reload has the proxy reload and returns how many milliseconds it took.
func (p *Proxy) Reload() float64 {
	start := time.Now()
	if status := p.Order("/admin/reload"); status != http.StatusOK {
		Failf("a reload was answered %d", status)
	}
	return Milliseconds(start)
}

// Metrics are the proxy's metrics, by name with labels.
type Metrics map[string]float64

// Of returns one of them, which must be there.
func (m Metrics) Of(name string) float64 {
	value, ok := m[name]
	if !ok {
		Failf("the proxy has no metric %s", name)
	}
	return value
}

// Metrics reads the proxy's metrics.
func (p *Proxy) Metrics() Metrics {
	all := Metrics{}
	for line := range strings.Lines(string(Get(p.Admin + "/metrics"))) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			all[line[:i]] = v
		}
	}
	return all
}

// Profile takes a profile of the proxy: the name and query below /debug/pprof/.
func (p *Proxy) Profile(query string) []byte { return Get(p.Admin + "/debug/pprof/" + query) }

// A Stand is a sandbox and a proxy that relays to it.
type Stand struct {
	*Proxy
	Sandbox *Provider
	bench   *Bench
}

// NewStand starts both.
func (b *Bench) NewStand(sandbox Sandbox, setup Setup) *Stand {
	provider := b.StartSandbox(sandbox)
	return &Stand{b.StartProxy(provider, setup), provider, b}
}

// Load puts a load on the proxy, with proof of delivery.
func (s *Stand) Load(args ...string) *report.Report {
	return s.bench.Load(append([]string{"--target", s.Addr, "--sandbox", s.Sandbox.API,
		"--accounts-file", s.Sandbox.Accounts, "--proxy-metrics", s.Admin + "/metrics"}, args...)...)
}

// Stop ends both.
func (s *Stand) Stop() {
	s.Proxy.Stop()
	s.Sandbox.Stop()
}
