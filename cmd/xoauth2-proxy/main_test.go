package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// runAsCommand in the environment has the test binary be the program itself.
const runAsCommand = "XOAUTH2_PROXY_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	switch os.Getenv(runAsCommand) {
	case "":
	case "panic":
		panicWithAll(os.Args[1], os.Args[2])
	case "kill":
		os.Exit(serveAndKill(os.Args[3], os.Args[5]))
	case "hang":
		os.Exit(serveAndHang(os.Args[3], os.Args[5]))
	default:
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// command is the program as a process of its own.
type command struct {
	*testkit.Program
	t           *testing.T
	addr, admin string
	token       string // for the admin API; "": the socket is used
}

// startCommand starts the proxy and waits until it listens. It does not outlive
// the test.
func startCommand(t *testing.T, f sandbox.ProxyFiles, env ...string) *command {
	t.Helper()
	cmd := exec.Command(os.Args[0], "serve", "--config", f.Config, "--accounts", f.Accounts, "--port", "0", "--admin-port", "0")
	cmd.Env = append(append(os.Environ(), runAsCommand+"=1"), env...)
	p := testkit.StartProgram(t, cmd)
	c := &command{Program: p, t: t, addr: p.Clients, admin: "http://" + p.Admin}
	t.Cleanup(c.kill)
	return c
}

// kill ends the process as a power failure would.
func (c *command) kill() {
	if c.Running() {
		c.end(syscall.SIGKILL)
	}
}

// end ends the process by a signal and returns all that it wrote, which may show
// no secret.
func (c *command) end(sig syscall.Signal) string {
	if err := c.Cmd.Process.Signal(sig); err != nil {
		c.t.Error(err)
	}
	<-c.Exited
	apptest.CheckCanaries(c.t, "what the program wrote", c.Log())
	return c.Log()
}

// endBy sends the signal again and again until the process has ended: one alone might only
// begin the drain. It returns all that the process wrote.
func (c *command) endBy(sig syscall.Signal) string {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for c.Cmd.Process.Signal(sig) == nil {
			<-again.C
		}
	}()
	text := c.end(sig)
	<-ended
	return text
}

// ask sends a request to the admin API and returns its answer.
func (c *command) ask(method, path, body string) (status int, answer string) {
	c.t.Helper()
	var resp *http.Response
	if c.token == "" {
		resp, answer = testkit.Ask(c.t, testkit.OverSocket(c.Socket), method, c.admin+path, body)
	} else {
		resp, answer = testkit.Ask(c.t, nil, method, c.admin+path, body, "Authorization", "Bearer "+c.token)
	}
	return resp.StatusCode, answer
}

// call is ask that expects 200.
func (c *command) call(method, path string) string {
	c.t.Helper()
	status, answer := c.ask(method, path, "")
	if status != http.StatusOK {
		c.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// login logs in and sends a message.
func (c *command) login(email string) error {
	return apptest.Deliver(c.addr, email, "placeholder", "hello")
}

// TestOrdersSurviveARestart pauses one account and drains another; the process
// is killed, and they are as they were in the next one, until they are resumed.
func TestOrdersSurviveARestart(t *testing.T) {
	for _, kept := range []string{`"state_dir": %q`, `"oauth": {"token_store": %q}`} {
		t.Run(kept, func(t *testing.T) {
			const paused, drained, active = "user@gmail.com", "user2@gmail.com", "user3@gmail.com"
			_, f := apptest.NewSandbox(t, paused, drained, active)
			at := t.TempDir() + "/state"
			if strings.Contains(kept, "store") {
				at += "/tokens.db"
			}
			apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "log": {"format": "json", "level": "debug"}, `+kept+`}`, f.CA, at))

			p := startCommand(t, f)
			p.call("POST", "/admin/accounts/"+active+"/pause")
			p.call("POST", "/admin/accounts/"+active+"/resume")
			hold := p.call("POST", "/admin/accounts/"+paused+"/pause")
			p.call("POST", "/admin/accounts/"+drained+"/drain")
			p.kill()

			p = startCommand(t, f)
			for email, why := range map[string]string{paused: "4.7.0 The account is paused", drained: "4.7.0 The account is being drained"} {
				if err := p.login(email); err == nil || !strings.Contains(err.Error(), why) {
					t.Errorf("%s is told %v after the restart", email, err)
				}
			}
			if err := p.login(active); err != nil {
				t.Errorf("%s: %v", active, err)
			}
			since := hold[strings.Index(hold, `"since"`):]
			apptest.CheckParts(t, p.call("GET", "/admin/accounts/"+paused), `"state":"paused"`, since[:strings.IndexByte(since, '}')])
			p.call("POST", "/admin/accounts/"+paused+"/resume")
			if err := p.login(paused); err != nil {
				t.Errorf("resumed: %v", err)
			}
			p.kill()

			p = startCommand(t, f)
			if err := p.login(paused); err != nil {
				t.Errorf("resumed, after another restart: %v", err)
			}
			apptest.CheckParts(t, p.call("GET", "/admin/accounts/"+drained), `"state":"draining"`)
		})
	}
}
