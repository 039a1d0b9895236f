package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// hangAt in the environment is the log line that hangs its writer, in the
// program that serveAndHang is.
const hangAt = "XOAUTH2_PROXY_TEST_HANG_AT"

// serveAndHang is the program with a log that takes all lines but one.
func serveAndHang(configFile, accountsFile string) int {
	c := serveCmd{files: files{Config: configFile, Accounts: accountsFile}, Port: new(int), AdminPort: new(int)}
	p, err := prepare(func() (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
		settings, snapshot, report, err := c.load()
		if err == nil {
			settings.Server.DrainTimeout, settings.Log.Format, settings.Log.Level = time.Second, "json", "debug"
		}
		return settings, snapshot, report, err
	}, &c.cache)
	if err != nil {
		panic(err)
	}
	o := &p.options
	o.Log = o.Log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return hangingCore{core, os.Getenv(hangAt)} }))
	if e, ok := errors.AsType[exitError](p.serve(nil)); ok {
		return e.code
	}
	return 0
}

// hangingCore is a log in which the writer of a certain line hangs for ever.
type hangingCore struct {
	zapcore.Core
	line string
}

func (h hangingCore) With(f []zapcore.Field) zapcore.Core { return hangingCore{h.Core.With(f), h.line} }
func (h hangingCore) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if h.Enabled(e.Level) {
		return c.AddCore(e, h)
	}
	return c
}
func (h hangingCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == h.line {
		select {}
	}
	return h.Core.Write(e, fields)
}

// TestSignalsEndWhatHangs has a part of a real process hang for ever: the log, the
// metrics and the probes name it, and signals end the process.
func TestSignalsEndWhatHangs(t *testing.T) {
	const user = "user@gmail.com"
	for _, tt := range []struct {
		name, part, line string
		signals          int
	}{
		{"loop, second signal", "loop ", "command", 2},
		{"shard, one signal", "shard ", "message", 1},
		{"token worker, second signal", "token worker ", "token refresh failed", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			provider, f := apptest.NewSandbox(t, user)
			rule := sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 later"}
			if strings.HasPrefix(tt.part, "token") {
				rule = sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Reply: "503"}
			}
			if err := provider.SetFaults(rule); err != nil {
				t.Fatal(err)
			}
			c := startCommand(t, f, runAsCommand+"=hang", hangAt+"="+tt.line)
			told := make(chan error, 1)
			go func() { told <- apptest.Deliver(c.addr, user, "placeholder", "stuck") }()
			c.waitFor("/health", tt.part)
			if status, body := c.ask("GET", "/ready", ""); status != http.StatusServiceUnavailable || !strings.Contains(body, tt.part) {
				t.Errorf("/ready: %d %s", status, body)
			}
			kind := strings.ReplaceAll(strings.TrimSpace(tt.part), " ", "_")
			if _, body := c.ask("GET", "/metrics", ""); !strings.Contains(body, `watchdog_stuck_parts{part="`+kind+`"} 1`) {
				t.Error("no metric of the part")
			}
			if kind != "loop" {
				if err := <-told; err == nil || !strings.HasPrefix(err.Error(), "45") {
					t.Errorf("the client is told %v", err)
				}
			}
			var text string
			if tt.signals > 1 {
				text = c.endBy(syscall.SIGTERM)
			} else {
				text = c.end(syscall.SIGTERM)
			}
			if code := c.Cmd.ProcessState.ExitCode(); code != exitCut {
				t.Errorf("exit code %d", code)
			}
			for _, want := range []string{"a part of the process is stuck", `"part":"` + tt.part, "goroutine ", "the process ends although not all has stopped"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// waitFor asks a probe until its answer is 503 and names that reason.
func (c *command) waitFor(path, reason string) {
	c.t.Helper()
	testkit.Settle(c.t, func() string {
		status, body := c.ask("GET", path, "")
		if status == http.StatusServiceUnavailable && strings.Contains(body, reason) {
			return ""
		}
		return fmt.Sprint(path, status, body)
	})
}
