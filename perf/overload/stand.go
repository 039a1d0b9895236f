package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/perf/lab"
)

// providerName is that of the accounts in the proxy's files: one that no
// limits are known of.
const providerName = "bench"

// shape is what to start.
type shape struct {
	accounts, connections int // connections of each account
	pace                  time.Duration
	limits                string // of the sandbox: "on" or "off"
	queue                 int    // messages that may wait for a connection
}

// stand is a sandbox with its proxy.
type stand struct {
	shape
	programs       lab.Programs
	dir, api       string
	addr, admin    string
	accountsFile   string
	sandbox, proxy *lab.Process
}

// start starts both.
func start(programs lab.Programs, dir string, sh shape) (*stand, error) {
	s := &stand{shape: sh, programs: programs, dir: dir, accountsFile: filepath.Join(dir, "proxy-accounts.json")}
	err := s.startSandbox()
	if err == nil {
		err = s.writeFiles()
	}
	if err == nil {
		err = s.startProxy()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *stand) startSandbox() error {
	list := make([]map[string]string, s.accounts)
	for i := range list {
		list[i] = map[string]string{"account_id": fmt.Sprintf("bench-%d", i), "email": fmt.Sprintf("user%d@bench.test", i),
			"provider": "outlook", "endpoint": "mail"}
	}
	config := filepath.Join(s.dir, "sandbox.json")
	err := writeJSON(config, map[string]any{
		"endpoints": []map[string]any{{"name": "mail", "preset": "outlook", "tls": "-",
			"limits": map[string]int{"connections": s.connections}}},
		"accounts": list, "limits": s.limits, "store": map[string]string{"mode": "count"},
	})
	if err != nil {
		return err
	}
	s.sandbox, err = lab.Start(s.programs.Proxy, "sandbox", "--dir", s.dir, "--config", config, "--latency", s.pace.String())
	if err != nil {
		return err
	}
	for line := ""; line != "ready"; {
		if line, err = s.sandbox.Line(); err != nil {
			return err
		}
		if _, api, ok := strings.Cut(line, "API: "); ok {
			s.api = api
		}
	}
	return nil
}

// writeFiles writes the proxy's files.
func (s *stand) writeFiles() error {
	text, err := os.ReadFile(filepath.Join(s.dir, "accounts.json"))
	if err != nil {
		return err
	}
	var root struct {
		Accounts []map[string]any `json:"accounts"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return err
	}
	for _, a := range root.Accounts {
		a["provider"] = providerName
	}
	if err := writeJSON(s.accountsFile, root); err != nil {
		return err
	}
	return writeJSON(filepath.Join(s.dir, "proxy.json"), map[string]any{
		"upstream": map[string]any{"ca_file": filepath.Join(s.dir, "ca.pem"), "queue_size": s.queue, "acquire_timeout": "30s"},
		"log":      map[string]any{"level": "error"},
		"admin":    map[string]any{"pprof": true},
		"providers": map[string]any{providerName: map[string]any{
			"smtp_host": "localhost", "token_url": s.api + "/token",
			"max_concurrent_messages": s.connections,
			"connection_pool": map[string]any{"max_connections_per_account": s.connections,
				"max_messages_per_connection": 0, "connection_idle_timeout_seconds": 3600},
			"rate_limiting": map[string]any{"logins_per_minute": 0},
		}},
	})
}

func (s *stand) startProxy() error {
	ports := [2]int{}
	for i := range ports {
		var err error
		if ports[i], err = lab.FreePort(); err != nil {
			return err
		}
	}
	s.addr, s.admin = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("http://127.0.0.1:%d", ports[1])
	var err error
	s.proxy, err = lab.Start(s.programs.Proxy, "serve", "--config", filepath.Join(s.dir, "proxy.json"), "--accounts", s.accountsFile,
		"--host", "127.0.0.1", "--port", strconv.Itoa(ports[0]), "--admin-host", "127.0.0.1", "--admin-port", strconv.Itoa(ports[1]))
	if err != nil {
		return err
	}
	return s.proxy.WaitReady(s.addr)
}

func (s *stand) stop() {
	for _, p := range []*lab.Process{s.proxy, s.sandbox} {
		if p != nil {
			p.Stop()
		}
	}
}

// client knows no HTTP proxy: all is on this machine.
var client = http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: nil}}

func get(url string) ([]byte, error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// metric reads one of the proxy's metrics.
func (s *stand) metric(name string) (float64, error) {
	text, err := get(s.admin + "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("the proxy has no metric %s", name)
}

// resident is the proxy's memory, in octets.
func (s *stand) resident() (float64, error) { return s.metric("process_resident_memory_bytes") }

// heap is what is live of the proxy's heap, in octets, right behind a collection.
func (s *stand) heap() (float64, error) {
	if _, err := get(s.admin + "/debug/pprof/heap?gc=1"); err != nil {
		return 0, err
	}
	return s.metric("go_memstats_heap_alloc_bytes")
}

// writeJSON writes a file that only its owner may read, as it looks like one
// with secrets.
func writeJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o600)
}
