//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// Bounds on what programs may take, far above what they take on a slow machine.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 60 * time.Second
)

// proxy is a running program under test.
type proxy struct {
	addr  string // where it listens for clients
	admin string // where it serves metrics and health

	*testkit.Program
}

// startProxy starts the proxy with the files and waits until it listens. When
// the test ends, it must end in order.
func startProxy(t *testing.T, files sandbox.ProxyFiles) *proxy {
	t.Helper()
	p := launchProxy(t, files)
	t.Cleanup(func() { p.finish(t) })
	return p
}

// launchProxy is startProxy for a proxy that the caller ends.
func launchProxy(t *testing.T, files sandbox.ProxyFiles) *proxy {
	t.Helper()
	p := &proxy{Program: testkit.StartProgram(t, exec.Command(proxyBinary, "serve", "--config", files.Config, "--accounts", files.Accounts,
		"--host", "127.0.0.1", "--port", "0", "--admin-host", "127.0.0.1", "--admin-port", "0"))}
	p.addr, p.admin = p.Clients, p.Admin
	t.Cleanup(func() { _ = p.Cmd.Process.Kill() }) // it may have ended
	return p
}

// terminate sends SIGTERM and does not wait.
func (p *proxy) terminate(t *testing.T) {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
}

// wait returns the exit code once the proxy has ended.
func (p *proxy) wait() (int, error) {
	select {
	case <-p.Exited:
		return p.Cmd.ProcessState.ExitCode(), nil
	case <-time.After(stopTimeout):
		_ = p.Cmd.Process.Kill()
		<-p.Exited
		return -1, fmt.Errorf("the proxy had not ended %v after SIGTERM", stopTimeout)
	}
}

// finish stops the proxy at the end of a test and checks how it ended, what it
// logged, and before that what its metrics say.
func (p *proxy) finish(t *testing.T) {
	if p.Running() {
		p.checkMetrics(t)
	}
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil && p.Running() {
		t.Errorf("SIGTERM: %v", err)
	}
	code, err := p.wait()
	switch {
	case err != nil:
		t.Error(err)
	case code != 0:
		t.Errorf("the proxy ended with %v, not exit code 0", p.Cmd.ProcessState)
	}
	log := p.Log()
	checkSecrets(t, "the log", log)
	if t.Failed() {
		t.Logf("log of the proxy:\n%s", tail(log, 16<<10))
	}
}

// checkSecrets looks for what must not leave the proxy. Of an access token it
// knows the form: "user=" in base64 begins what goes to the provider.
func checkSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{clientPassword, clientSecret, refreshTokenPrefix, "Bearer ", "dXNlcj"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s of the proxy has the secret %q", where, secret)
		}
	}
}

// idleGauges are 0 when no message is on its way through the proxy. Otherwise
// it has forgotten to give something back.
var idleGauges = []string{"smtp_content_segments_live", "smtp_content_budget_used_bytes",
	"upstream_messages_in_flight", "upstream_queue_depth"}

// checkMetrics looks for secrets in the metrics and waits until nothing is on
// its way: the provider may have had the last message before the proxy was
// done with it. There is no event to wait for, so it polls.
func (p *proxy) checkMetrics(t *testing.T) {
	const patience, interval = 15 * time.Second, 20 * time.Millisecond
	for deadline := time.Now().Add(patience); ; time.Sleep(interval) {
		text, err := p.metrics()
		if err != nil {
			t.Errorf("metrics: %v", err)
			return
		}
		var busy []string
		for _, name := range idleGauges {
			if !strings.Contains(text, "\n"+name+" 0\n") {
				busy = append(busy, name)
			}
		}
		if len(busy) == 0 {
			checkSecrets(t, "the metrics", text)
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("nothing is on its way, but these metrics are not 0: %v\n%s", busy, text)
			return
		}
	}
}

func (p *proxy) metrics() (string, error) {
	resp, text, err := testkit.TryAsk(nil, http.MethodGet, "http://"+p.admin+"/metrics", "")
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return text, err
}

// tail returns the last n bytes of s.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "[...]" + s[len(s)-n:]
}
