package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/testkit"
)

// TestNoSecretFromTheProgram runs the program at debug level through what makes
// it talk of accounts: logins and mail, refusals by the provider and by itself,
// the admin API with right and wrong requests and tokens, orders, reloads of good
// and bad files. Secrets are sealed, and tokens kept in a store. At the end it is
// made to dump its stacks. None of what it says shows a secret.
func TestNoSecretFromTheProgram(t *testing.T) {
	const good, dead = "user@gmail.com", "dead@outlook.com"
	provider, f := apptest.NewSandbox(t, good, dead)
	t.Setenv("GOTRACEBACK", "all")
	key, state := seal.GenerateKey(), t.TempDir()
	t.Setenv("TEST_SEAL_KEY", key)
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "log": {"format": "json", "level": "debug"},
		"secrets": {"key": "env:TEST_SEAL_KEY"}, "oauth": {"token_store": %q}, "state_dir": %q, "admin": {"token": "canary-admin-token", "account_metrics": true},
		"accounting": {"directory": "accounting", "files": [{"name": "all.csv"}, {"name": "all.json", "format": "json"}]},
		"listeners": [{"address": "127.0.0.1:2525", "passwords": "account"}]}`, f.CA, state+"/tokens.db", state))
	text := strings.ReplaceAll(apptest.ReadAll(t, f.Accounts), `"email":`, `"client_password": "canary-password", "email":`)
	apptest.WriteFile(t, f.Accounts, text)
	mustRun(t, 0, with(f, "accounts", "seal")...)
	p := startCommand(t, f)
	p.token = "canary-wrong-token"
	if status, answer := p.ask("GET", "/admin/accounts", ""); status != 401 {
		t.Errorf("with a wrong token: %d %s", status, answer)
	} else {
		apptest.CheckCanaries(t, "the refusal of a token", answer)
	}
	p.token = "canary-admin-token"
	login := func(email, password string) error {
		return apptest.Deliver(p.addr, email, password, "hello")
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
		apptest.CheckCanaries(t, "the refusal of "+email, err.Error())
	}
	for _, path := range []string{"/metrics", "/metrics/accounts", "/health", "/ready", "/admin/accounts", "/admin/accounts/" + good,
		"/admin/accounts/" + dead, "/admin/forecast", "/admin/tenants", "/admin/nodes"} {
		apptest.CheckCanaries(t, path, p.call("GET", path))
	}
	p.call("POST", "/admin/reload")
	for _, request := range [][3]string{
		{"POST", "/admin/accounts", `{"email": "x@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "canary", "refresh_token": "canary"}`},
		{"POST", "/admin/accounts", `{"email": "x@gmail.com", "refresh_token": "canary`},
		{"POST", "/admin/accounts/batch", `[{"email": 7, "refresh_token": "canary"}]`},
		{"POST", "/admin/accounts", `{"email": "x@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "canary", "refresh_token": "file:/canary"}`},
		{"POST", "/admin/accounts", `{"email": "x@hotmail.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary", "verify": false}`},
		{"POST", "/admin/accounts/" + good + "/pause", "canary"},
		{"POST", "/admin/accounts/" + good + "/drain", ""},
		{"POST", "/admin/accounts/" + dead + "/resume", ""},
		{"PUT", "/admin/log/level", `{"level": "canary"}`},
		{"DELETE", "/admin/accounts/invalid?dry_run=true", ""},
		{"POST", "/admin/canary", "canary"},
	} {
		status, answer := p.ask(request[0], request[1], request[2])
		apptest.CheckCanaries(t, request[0], strings.ReplaceAll(answer, request[1], ""))
		if status == 0 {
			t.Errorf("%q was not answered", request)
		}
	}
	apptest.CheckCanaries(t, "/admin/accounts/"+good, p.call("GET", "/admin/accounts/"+good))
	certificate, _ := signingPair()
	_, otherKey := signingPair()
	for _, bad := range []string{
		`[{"email": "x@gmail.com", "provider": "gmail", "refresh_token": "canary`,
		`[{"email": "canary", "client_secret": ["canary"]}]`,
		`[{"email": "x@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "env:TEST_SEAL_KEY", "refresh_token": "sealed:v1:0123456789abcdef:canary"}]`,
		`[{"email": "x@gmail.com", "provider": "gmail", "client_id": "c", "client_secret": "canary", "refresh_token": "canary", "client_password": "$argon2id$canary"}]`,
		"[" + appEntry(t, "app@outlook.com", certificate, otherKey) + "]",
	} {
		apptest.WriteFile(t, f.Accounts, bad)
		status, answer := p.ask("POST", "/admin/reload", "")
		apptest.CheckCanaries(t, "a bad file", strings.ReplaceAll(answer, `"canary" `, ""))
		if status != 422 {
			t.Errorf("%d %s", status, answer)
		}
	}
	for _, file := range []string{"all.csv", "all.json"} {
		var text string
		testkit.Eventually(t, "a record of the message in "+file, func() bool {
			text = apptest.ReadAll(t, state+"/accounting/"+file)
			return strings.Contains(text, "to@example.com")
		})
		apptest.CheckCanaries(t, file, text)
	}
	said := p.end(syscall.SIGQUIT)
	for _, part := range []string{key[len(key)-20:], strings.Split(otherKey, "\n")[1][40:]} {
		if strings.Contains(said, part) {
			t.Errorf("a key is shown: %s", part)
		}
	}
	for _, file := range []string{"orders.json", "tokens.db", "quota.db"} {
		apptest.CheckCanaries(t, file, apptest.ReadAll(t, state+"/"+file))
	}
	apptest.CheckParts(t, said, "SIGQUIT: quit", "goroutine ", `"msg":"token refresh failed"`, `"msg":"reload refused, nothing was changed"`)
}

// leaves are the names of all commands that do something.
func leaves(t *testing.T) (names []string) {
	t.Helper()
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Leaves(false) {
		names = append(names, strings.TrimPrefix(node.Path(), parser.Model.Name+" "))
	}
	return names
}

// TestNoSecretFromAnyCommand has every command read files that are right, and
// files that are wrong in the place of each secret. What none of them says is the
// secret; runCLI looks for it.
func TestNoSecretFromAnyCommand(t *testing.T) {
	provider, f := apptest.NewSandbox(t, "user@gmail.com", "dead@outlook.com")
	provider.RevokeGrant("dead@outlook.com")
	certificate, key := signingPair()
	_, otherKey := signingPair()
	dir := t.TempDir()
	path := func(name, text string) string {
		apptest.WriteFile(t, dir+"/"+name, text)
		return dir + "/" + name
	}
	t.Setenv("TEST_CANARY", "canary in the environment\nof two lines")
	t.Setenv("TEST_SEAL_KEY", seal.GenerateKey())
	list, token := path("list", "a@hotmail.com,id,canary-1,c\nb,id2,canary-2,c\ncanary-3\n"), path("token", "canary-4\n")
	table := path("table", "email,refresh_token,client_id\na@hotmail.com,\"canary-5,c\nb@hotmail.com,canary-6\n")
	broken := path("broken", `[{"email": "a@hotmail.com", "refresh_token": "canary-7]`)
	typed := path("typed", "type,refresh_token\ncanary-8,c\n{\"type\":\"canary-9\"}\n{\"type\":\"d\",\"canary-10\":[]}\n")
	commands := map[string][][]string{
		"serve":           {nil},
		"check":           {nil},
		"accounts list":   {nil, {"--json"}, {"--csv"}},
		"accounts show":   {{"user@gmail.com"}, {"--json", "user@gmail.com"}},
		"accounts add":    {{"new@hotmail.com", "--client-id", "c", "--refresh-token-file", token, "--oauth-token-url", provider.TokenURL()}, {"user@gmail.com", "--overwrite", "--refresh-token-file", token}},
		"accounts import": {{list, "--dry-run", "--partial"}, {table, "--dry-run"}, {broken, "--dry-run"}, {path("json", `[{"email": 7, "refresh_token": ["canary"]}]`)}},
		"accounts remove": {{"user@gmail.com", "--dry-run"}},
		"accounts verify": {nil, {"--json"}, {"--csv"}},
		"accounts seal":   {{"--dry-run"}, {"--dry-run", "--key", "env:TEST_CANARY"}, {"--dry-run", "--new-key", dir + "/new"}},
		"authorize":       {{"user@gmail.com", "--timeout", "1ms"}, {"user@gmail.com", "--timeout", "1ms", "--client-secret-file", token, "--method", "device"}},
		"password hash":   {nil},
		"rotate-key":      {nil},
		"backup":          {{dir + "/archive", "--overwrite"}, {dir + "/archive", "--overwrite", "--with-key"}},
		"restore":         {{dir + "/archive"}, {dir + "/archive", "--with-key"}, {broken}},
		"forecast":        {nil, {"--json", "--all"}, {"--csv"}},
		"nodes":           {nil, {"--json"}, {"--csv"}},
		"upgrade":         {nil, {"--back", "--timeout", "1s"}},
		"report":          {{dir}, {dir + "/*", "--json", "--by", "account,class,hint"}, {typed, f.Accounts, f.Config, "--find", "user@gmail.com"}},
		"move":            {{"--to-config", f.Config, "--to-accounts", f.Accounts}, {"--to-config", broken, "--to-accounts", dir + "/none"}},
	}
	for _, name := range leaves(t) {
		if commands[name] == nil && !slices.Contains([]string{"demo", "explain", "sandbox", "version"}, name) { // which have no secrets of others
			t.Errorf("%q is not tried", name)
		}
	}
	text := func(v map[string]any) string {
		v["email"], v["provider"], v["client_id"], v["oauth_token_url"] = "user@gmail.com", "gmail", "c", provider.TokenURL()
		for k, plain := range map[string]any{"refresh_token": "canary-r", "client_secret": "canary-c"} {
			if v[k] == nil {
				v[k] = plain
			}
		}
		b, err := json.Marshal([]any{v})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	right := apptest.ReadAll(t, f.Accounts)
	for name, files := range map[string][2]string{ // config.json, accounts.json
		"right":               {``, right},
		"no JSON":             {``, `[{"email": "user@gmail.com", "refresh_token": "canary-x`},
		"an array":            {``, text(map[string]any{"refresh_token": []string{"canary"}})},
		"an object":           {``, text(map[string]any{"client_secret": map[string]string{"canary": "canary"}})},
		"control characters":  {``, text(map[string]any{"refresh_token": "canary\x01canary"})},
		"reference":           {``, text(map[string]any{"refresh_token": "env:TEST_CANARY"})},
		"no reference":        {``, text(map[string]any{"client_secret": "file:" + broken})},
		"sealed by others":    {`"secrets": {"key": "env:TEST_SEAL_KEY"}`, text(map[string]any{"refresh_token": "sealed:v1:0123456789abcdef:canarycanarycanarycanarycanarycanarycanary"})},
		"no key to seal with": {`"secrets": {"key": "env:TEST_CANARY"}`, right},
		"key of another":      {``, text(map[string]any{"client_certificate": certificate, "client_private_key": otherKey})},
		"key cut":             {``, text(map[string]any{"client_certificate": certificate, "client_private_key": key[:90] + "canary"})},
		"no PEM":              {``, text(map[string]any{"client_certificate": "canary", "client_private_key": "canary"})},
		"service account":     {``, text(map[string]any{"oauth_flow": "service_account", "service_account_key": `{"private_key": "canary`})},
		"no service account":  {``, text(map[string]any{"oauth_flow": "service_account", "service_account_key": `{"private_key": "canary", "type": "authorized_user", "token_uri": "canary://canary"}`})},
		"password hash":       {``, text(map[string]any{"client_password": "$argon2id$v=19$m=1,t=1,p=1$canary$canary"})},
		"password control":    {``, text(map[string]any{"client_password": "canary\x00"})},
		"proxy":               {``, text(map[string]any{"oauth_proxy": "socks://user:canary@127.0.0.1"})},
		"proxy of all":        {`"oauth": {"proxy": "user:canary@127.0.0.1:1"}`, right},
		"shared password":     {`"server": {"shared_password": ["canary"]}`, right},
		"admin token":         {`"admin": {"token": {"canary": 1}}`, right},
		"command":             {``, text(map[string]any{"oauth_flow": "external", "token_command": []any{"x", 7, "canary"}})},
		"dead proxy":          {`"oauth": {"proxy": "http://user:canary@127.0.0.1:1"}`, right},
	} {
		t.Run(name, func(t *testing.T) {
			if files[0] != "" {
				files[0] += ", "
			}
			config, accounts := t.TempDir()+"/config.json", t.TempDir()+"/accounts.json"
			apptest.WriteFile(t, config, fmt.Sprintf(`{%s"upstream": {"ca_file": %q}}`, files[0], f.CA))
			apptest.WriteFile(t, accounts, files[1])
			fine, _, _ := runCLI(t, "check", "--config", config, "--accounts", accounts)
			for command, variants := range commands {
				for _, args := range variants {
					if command == "serve" && fine == 0 {
						continue // TestNoSecretFromTheProgram
					}
					apptest.WriteFile(t, accounts, files[1])
					line := append(strings.Fields(command), args...)
					if command == "password hash" {
						_, _, _ = withInput(t, "canary\x00\n", line...)
						continue
					}
					if command == "report" {
						_, _, _ = runCLI(t, append(line, config, accounts)...)
						continue
					}
					_, _, _ = withInput(t, "", append(line, "--config", config, "--accounts", accounts)...)
				}
			}
		})
	}
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
	_, f := apptest.NewSandbox(t, "user@gmail.com", "user@outlook.com")
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "admin": {"token": "canary-of-the-admin-api"},
		"server": {"shared_password": "canary-shared-password"}, "oauth": {"proxy": "http://user:canary@127.0.0.1:1"}}`, f.CA))
	cmd := exec.Command(os.Args[0], f.Config, f.Accounts)
	cmd.Env = append(os.Environ(), runAsCommand+"=panic")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Error("it did not panic")
	}
	apptest.CheckParts(t, string(out), "panic: ", "gmail_user_gmail_com", "<secret>", "goroutine 1")
	apptest.CheckCanaries(t, "the panic", string(out))
}
