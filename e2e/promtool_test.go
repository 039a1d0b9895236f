//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

const (
	rulesDir   = "../configs/prometheus"
	grafanaDir = "../configs/grafana"
	adminToken = "admin-token-41d7-of-the-test"
)

// promtool runs promtool in dir and returns what it says.
func promtool(dir, input string, args ...string) (string, error) {
	c := exec.Command("promtool", args...)
	c.Dir, c.Stdin = dir, strings.NewReader(input)
	out, err := c.CombinedOutput()
	return string(out), err
}

// TestPromtoolRules has promtool check the rules and run their tests.
func TestPromtoolRules(t *testing.T) {
	for _, args := range [][]string{
		{"check", "rules", "recording.rules.yml", "alerts.rules.yml"},
		{"test", "rules", "alerts.test.yml"},
	} {
		if out, err := promtool(rulesDir, "", args...); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}

// TestPromtoolDashboards makes a rule of each query of each dashboard, and has promtool
// parse them.
func TestPromtoolDashboards(t *testing.T) {
	files, err := filepath.Glob(grafanaDir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	variable := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$provider", ".*", "$account", ".*")
	var rules bytes.Buffer
	rules.WriteString("groups:\n- name: queries\n  rules:\n")
	n := 0
	for _, file := range files {
		var d struct {
			Panels []struct{ Targets []struct{ Expr string } }
		}
		b, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(b, &d)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				expr, _ := json.Marshal(variable.Replace(target.Expr)) // a JSON string is one of YAML
				fmt.Fprintf(&rules, "  - record: query:%d\n    expr: %s\n", n, expr)
				n++
			}
		}
	}
	file := filepath.Join(t.TempDir(), "queries.rules.yml")
	if err := os.WriteFile(file, rules.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(".", "", "check", "rules", file); err != nil || !strings.Contains(out, fmt.Sprintf("%d rules found", n)) || n < 40 {
		t.Errorf("%d queries: %v\n%s", n, err, out)
	}
}

// monitored is a proxy with metrics of accounts and a token, that has relayed a message.
func monitored(t *testing.T) *stack {
	t.Helper()
	s := newStackChanged(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser)}, func(_ *stack, files sandbox.ProxyFiles) {
		edit(t, files.Config, func(root map[string]any) {
			root["admin"] = map[string]any{"account_metrics": true, "token": adminToken}
		})
	})
	c, err := testkit.LogIn(s.addr, gmailUser, clientPassword)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail(gmailUser); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("rcpt@example.com"); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err == nil {
		_, _ = w.Write([]byte("Subject: monitored\r\n\r\nx\r\n"))
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fromLibrary are complaints about families that the library names.
var fromLibrary = regexp.MustCompile(`^(go|process)_`)

// TestPromtoolMetrics has promtool check the pages of a running proxy: format, HELP, TYPE
// and names.
func TestPromtoolMetrics(t *testing.T) {
	s := monitored(t)
	for _, path := range []string{"/metrics", "/metrics/accounts"} {
		resp, page := testkit.Ask(t, nil, http.MethodGet, "http://"+s.admin+path, "", "Authorization", "Bearer "+adminToken)
		if resp.StatusCode != http.StatusOK || len(page) < 1000 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, page)
		}
		out, err := promtool(".", page, "check", "metrics")
		complaints := 0
		for line := range strings.Lines(out) {
			if !fromLibrary.MatchString(line) {
				t.Errorf("%s: %s", path, line)
			}
			complaints++
		}
		if err != nil && complaints == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestPrometheus has a Prometheus server scrape a running proxy as the sample of its
// configuration says: both jobs are up, and all rules can be evaluated.
func TestPrometheus(t *testing.T) {
	s := monitored(t)
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("token", adminToken+"\n")
	for _, name := range []string{"prometheus.yml", "recording.rules.yml", "alerts.rules.yml"} {
		text, err := os.ReadFile(filepath.Join(rulesDir, name))
		if err != nil {
			t.Fatal(err)
		}
		write(name, strings.NewReplacer("127.0.0.1:9090", s.admin, "/etc/prometheus/xoauth2-proxy.token", token,
			"scrape_interval: 60s", "scrape_interval: 1s", "scrape_timeout: 30s", "scrape_timeout: 1s", "interval: 15s", "interval: 1s").Replace(string(text)))
	}
	if out, err := promtool(dir, "", "check", "config", "prometheus.yml"); err != nil {
		t.Fatalf("promtool check config: %v\n%s", err, out)
	}
	address := "127.0.0.1:" + freePort(t)
	server := exec.Command("prometheus", "--config.file", filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path", filepath.Join(dir, "data"),
		"--web.listen-address", address)
	var log bytes.Buffer
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("log of Prometheus:\n%s", tail(log.String(), 8<<10))
		}
	})
	for _, query := range []string{
		`count(up{job=~"xoauth2-proxy.*"} == 1) == 2`,
		`sum(messages_total{result="delivered"}) == 1`,
		`account_messages_total{result="delivered"} * on (account) group_left (email) account_info{email="` + gmailUser + `"} == 1`,
		`xoauth2_proxy_ready == 1`,
	} {
		answers(t, address, "/api/v1/query?query="+url.QueryEscape(query), func(body string) bool { return strings.Contains(body, `"value"`) })
	}
	answers(t, address, "/api/v1/rules", func(body string) bool {
		return strings.Contains(body, `"health":"ok"`) && !strings.Contains(body, `"health":"unknown"`) && !strings.Contains(body, `"health":"err"`)
	})
	answers(t, address, "/api/v1/alerts", func(body string) bool {
		return strings.Contains(body, `"success"`) && !strings.Contains(body, `"firing"`)
	})
}

// answers asks a server that starts until the answer is good.
func answers(t *testing.T, address, path string, good func(body string) bool) {
	t.Helper()
	const interval = 100 * time.Millisecond
	var body string
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(interval) {
		var err error
		if _, body, err = testkit.TryAsk(nil, http.MethodGet, "http://"+address+path, ""); err == nil && good(body) {
			return
		}
	}
	t.Errorf("%s: %s", path, body)
}
