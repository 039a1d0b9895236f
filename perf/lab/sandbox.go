package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
)

// ProviderName is that of the accounts in the proxy's files: one that no limits
// are known of.
const ProviderName = "bench"

// StartSandbox starts the sandbox with so many accounts, without limits, that
// takes so long to answer the end of each message.
func StartSandbox(programs Programs, dir string, accounts int, latency time.Duration) (*Provider, error) {
	return StartSandboxWith(programs, dir, "--http", "127.0.0.1:0", "--accounts", strconv.Itoa(accounts),
		"--limits", "off", "--store", "count", "--latency", latency.String())
}

// StartSandboxWith is StartSandbox with other flags. Its files are in dir.
func StartSandboxWith(programs Programs, dir string, args ...string) (*Provider, error) {
	process, api, err := Sandbox(programs.Proxy, append([]string{"--dir", dir}, args...)...)
	if err != nil {
		return nil, err
	}
	process.Discard()
	// The sandbox replaces its own files only as long as they are unchanged.
	p := &Provider{Process: process, API: api, Accounts: filepath.Join(dir, "proxy-accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	list, err := ReadAccounts(filepath.Join(dir, "accounts.json"), ProviderName)
	if err == nil {
		err = WriteJSON(p.Accounts, map[string]any{"accounts": list})
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Sandbox starts the sandbox of the program with these flags and returns it
// with the base of its HTTP side as soon as it is ready.
func Sandbox(program string, args ...string) (p *Process, api string, err error) {
	if p, err = Start(program, append([]string{"sandbox"}, args...)...); err != nil {
		return nil, "", err
	}
	for line := ""; line != "ready"; {
		if line, err = p.Line(); err != nil {
			p.Stop()
			return nil, "", err
		}
		if _, at, ok := strings.Cut(line, "API: "); ok {
			api = at
		}
	}
	return p, api, nil
}

// ReadAccounts reads the accounts that the sandbox wrote for its proxy, all of
// them made those of another provider.
func ReadAccounts(file, provider string) ([]map[string]any, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var root struct {
		Accounts []map[string]any `json:"accounts"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, a := range root.Accounts {
		a["provider"] = provider
	}
	return root.Accounts, nil
}

// A Stand is a sandbox and a proxy that relays to it.
type Stand struct {
	*Bench
	Sandbox *Provider
	Proxy   *Proxy
}

// NewStand starts a stand with so many accounts, whose sandbox takes so long to
// answer the end of each message.
func (b *Bench) NewStand(accounts int, latency time.Duration, setup Setup) (*Stand, error) {
	dir, err := b.Folder()
	if err != nil {
		return nil, err
	}
	s := &Stand{Bench: b}
	if s.Sandbox, err = StartSandbox(b.Programs, dir, accounts, latency); err != nil {
		return nil, err
	}
	if s.Proxy, err = StartProxyWith(b.Programs, dir, s.Sandbox, setup); err != nil {
		s.Sandbox.Stop()
		return nil, err
	}
	return s, nil
}

// Load puts a load on the proxy, with proof of delivery.
func (s *Stand) Load(args ...string) (*report.Report, error) {
	return Load(s.Programs.Loadgen, append([]string{"--target", s.Proxy.Addr, "--sandbox", s.Sandbox.API,
		"--accounts-file", s.Sandbox.Accounts, "--proxy-metrics", s.Proxy.Admin + "/metrics"}, args...)...)
}

// Stop ends both.
func (s *Stand) Stop() {
	s.Proxy.Stop()
	s.Sandbox.Stop()
}
