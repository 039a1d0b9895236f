//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
)

// Bounds on what the proxy may take, far above what it takes on a slow
// machine.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 60 * time.Second
)

// proxy is a running program under test.
type proxy struct {
	addr  string // where it listens for clients
	admin string // where it serves metrics and health

	cmd    *exec.Cmd
	exited chan struct{} // closed once cmd has ended and log is complete

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

// logAddress finds the address in a line about a listener, be the log in JSON
// or in text.
var logAddress = regexp.MustCompile(`"address":\s*"([^"]+)"`)

// startProxy starts the proxy with the files and waits until it listens. When
// the test ends, it must end in order.
func startProxy(t *testing.T, files sandbox.ProxyFiles) *proxy {
	t.Helper()
	p := &proxy{exited: make(chan struct{})}
	p.cmd = exec.Command(proxyBinary, "serve", "--config", files.Config, "--accounts", files.Accounts,
		"--host", "127.0.0.1", "--port", "0", "--admin-host", "127.0.0.1", "--admin-port", "0")
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.finish(t) })
	listening := make(chan struct{})
	go func() {
		defer close(p.exited)
		p.readLog(stderr, listening)
		p.cmd.Wait() // its error is in ProcessState
	}()
	select {
	case <-listening:
	case <-p.exited:
		t.Fatalf("the proxy did not start: %v\n%s", p.cmd.ProcessState, p.logged())
	case <-time.After(startTimeout):
		t.Fatalf("the proxy does not listen after %v\n%s", startTimeout, p.logged())
	}
	return p
}

// readLog keeps the log, and closes listening once both addresses are known.
func (p *proxy) readLog(r io.Reader, listening chan struct{}) {
	for lines := bufio.NewReader(r); ; {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.log.WriteString(line)
		p.mu.Unlock()
		if m := logAddress.FindStringSubmatch(line); m != nil && (p.addr == "" || p.admin == "") {
			switch {
			case strings.Contains(line, "listening for clients") && p.addr == "": // the first listener
				p.addr = m[1]
			case strings.Contains(line, "listening for metrics and health"):
				p.admin = m[1]
			}
			if p.addr != "" && p.admin != "" {
				close(listening)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// terminate sends SIGTERM and does not wait.
func (p *proxy) terminate(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("SIGTERM: %v", err)
	}
}

// wait returns the exit code once the proxy has ended.
func (p *proxy) wait() (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return -1, fmt.Errorf("the proxy had not ended %v after SIGTERM", stopTimeout)
	}
}

// finish stops the proxy at the end of a test and checks how it ended, what it
// logged, and before that what its metrics say.
func (p *proxy) finish(t *testing.T) {
	if p.running() && p.admin != "" {
		p.checkMetrics(t)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && p.running() {
		t.Errorf("SIGTERM: %v", err)
	}
	code, err := p.wait()
	switch {
	case err != nil:
		t.Error(err)
	case code != 0:
		t.Errorf("the proxy ended with %v, not exit code 0", p.cmd.ProcessState)
	}
	log := p.logged()
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
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", resp.Status, text)
	}
	return string(text), err
}

func (p *proxy) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// tail returns the last n bytes of s.
func tail(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return "[...]" + s[len(s)-n:]
}
