package main

import (
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
)

// TestNoSecretFromTheProgram runs the program at debug level through what makes
// it talk of accounts: logins and mail, refusals by the provider and by itself,
// the admin API with right and wrong requests, reloads of good and bad files. At
// the end it is made to dump its stacks. None of what it says shows a secret.
func TestNoSecretFromTheProgram(t *testing.T) {
	const good, dead = "user@gmail.com", "dead@outlook.com"
	provider, f := newSandbox(t, good, dead)
	t.Setenv("GOTRACEBACK", "all")
	writeFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "log": {"format": "json", "level": "debug"},
		"listeners": [{"address": "127.0.0.1:2525", "passwords": "account"}]}`, f.CA))
	text := strings.ReplaceAll(readAll(t, f.Accounts), `"email":`, `"client_password": "canary-password", "email":`)
	writeFile(t, f.Accounts, text)
	p := startCommand(t, f)
	login := func(email, password string) error {
		c, err := smtp.Dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Auth(smtp.PlainAuth("", email, password, "127.0.0.1")); err != nil {
			return err
		}
		return send(c, "hello")
	}
	if err := login(good, "canary-password"); err != nil {
		t.Error(err)
	}
	provider.RevokeGrant(dead)
	for email, password := range map[string]string{good: "canary-wrong", dead: "canary-password", "nobody@gmail.com": "canary-password"} {
		err := login(email, password)
		if err == nil {
			t.Errorf("%s may log in", email)
			continue
		}
		checkCanaries(t, "the refusal of "+email, err.Error())
	}
	for _, path := range []string{"/metrics", "/health", "/ready", "/admin/accounts", "/admin/accounts/" + good, "/admin/accounts/" + dead} {
		checkCanaries(t, path, p.call("GET", path))
	}
	p.call("POST", "/admin/reload")
	for _, request := range [][3]string{
		{"POST", "/admin/accounts", `{"email": "x@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "canary", "refresh_token": "canary"}`},
		{"POST", "/admin/accounts", `{"email": "x@gmail.com", "refresh_token": "canary`},
		{"POST", "/admin/accounts/batch", `[{"email": 7, "refresh_token": "canary"}]`},
		{"DELETE", "/admin/accounts/invalid?dry_run=true", ""},
		{"POST", "/admin/canary", "canary"},
	} {
		status, answer := p.ask(request[0], request[1], request[2])
		checkCanaries(t, request[0], strings.ReplaceAll(answer, request[1], ""))
		if status == 0 {
			t.Errorf("%q was not answered", request)
		}
	}
	for _, bad := range []string{`[{"email": "x@gmail.com", "provider": "gmail", "refresh_token": "canary`, `[{"email": "canary", "client_secret": ["canary"]}]`} {
		writeFile(t, f.Accounts, bad)
		status, answer := p.ask("POST", "/admin/reload", "")
		checkCanaries(t, "a bad file", strings.ReplaceAll(answer, `"canary" `, ""))
		if status != 422 {
			t.Errorf("%d %s", status, answer)
		}
	}
	said := p.end(syscall.SIGQUIT)
	checkParts(t, said, "SIGQUIT: quit", "goroutine ", `"msg":"token refresh failed"`, `"msg":"reload refused, nothing was changed"`)
}

// panicWithAll loads the files and panics with everything that there is, as a
// careless line of code might.
func panicWithAll(config, accounts string) {
	debug.SetTraceback("all")
	f := files{Config: config, Accounts: accounts}
	settings, snapshot, report, err := f.read()
	text := fmt.Sprintf("%v %+v %#v %v %v", settings, settings, *settings, report.Lines(), err)
	for _, a := range snapshot.All() {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text += fmt.Sprintf(verb, a) + fmt.Sprintf(verb, *a)
		}
	}
	panic(errors.New(text))
}

func TestNoSecretInAPanic(t *testing.T) {
	_, f := newSandbox(t, "user@gmail.com", "user@outlook.com")
	writeFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "admin": {"token": "canary-of-the-admin-api"},
		"server": {"shared_password": "canary-shared-password"}, "oauth": {"proxy": "http://user:canary@127.0.0.1:1"}}`, f.CA))
	cmd := exec.Command(os.Args[0], f.Config, f.Accounts)
	cmd.Env = append(os.Environ(), runAsCommand+"=panic")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it did not panic")
	}
	checkParts(t, string(out), "panic: ", "gmail_user_gmail_com", "<secret>", "goroutine 1")
	checkCanaries(t, "the panic", string(out))
}
