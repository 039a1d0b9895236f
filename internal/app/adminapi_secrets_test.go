package app

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// ear is an address on loopback that counts who connects. Nothing that is sent
// goes anywhere without that.
type ear struct {
	addr  string
	heard atomic.Int64
}

func newEar(t *testing.T) *ear {
	t.Helper()
	e := new(ear)
	e.addr = testkit.Serve(t, func(int, net.Conn) { e.heard.Add(1) })
	return e
}

// entry is an account, or what a request says of one.
type entry map[string]any

// with returns e with other values; nil takes a key out.
func (e entry) with(more entry) entry {
	out := make(entry)
	for _, from := range []entry{e, more} {
		for k, v := range from {
			out[k] = v
		}
	}
	for k, v := range out {
		if v == nil {
			delete(out, k)
		}
	}
	return out
}

func (e entry) String() string {
	text, err := json.Marshal(map[string]any(e))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// stored are accounts of every kind, whose secrets are for home. The provider
// "relay" sends client secrets, and asks for none.
func stored(t *testing.T, home, ran string) (accounts []entry) {
	t.Helper()
	base := entry{"provider": "relay", "client_id": "c", "oauth_endpoint": home, "oauth_token_url": "https://" + home + "/token"}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, more := range []entry{
		{"email": "person@example.com", "client_secret": "canary-secret", "refresh_token": "canary-refresh"},
		{"email": "app@example.com", "oauth_flow": "client_credentials", "client_secret": "canary-secret"},
		{"email": "command@example.com", "oauth_flow": "external", "oauth_token_url": nil, "token_command": []string{"/usr/bin/touch", ran}},
		{"email": "service@example.com", "oauth_flow": "external"},
		{"email": "bearer@example.com", "oauth_flow": "external", "client_secret": "canary-secret"},
		{"email": "google@example.com", "oauth_flow": "service_account", "client_private_key": key},
		{"email": "proxied@example.com", "refresh_token": "canary-refresh", "oauth_proxy": "http://user:canary@" + home},
		{"email": "j\u00fcrgen@b\u00fccher.example", "client_secret": "canary-secret", "refresh_token": "canary-refresh"},
	} {
		accounts = append(accounts, base.with(more))
	}
	return accounts
}

// secretsStack runs a proxy with those accounts.
func secretsStack(t *testing.T, away string, accounts []entry) *stack {
	t.Helper()
	provider, f := apptest.NewSandbox(t)
	host, port, _ := net.SplitHostPort(away)
	other := fmt.Sprintf(`{"smtp_host": %q, "smtp_port": %s, "token_url": "https://%s/token"}`, host, port, away)
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "providers": {"relay": %s, "other": %s}}`, f.CA, other, other))
	text, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, f.Accounts, string(text))
	return startStack(t, provider, f)
}

// overwrite sends a request that overwrites an account, by itself or in a batch.
func (s *stack) overwrite(body entry, batch, dryRun, verify bool) (int, string) {
	s.T.Helper()
	body = body.with(entry{"overwrite": true, "verify": verify})
	path, text := "/admin/accounts", body.String()
	if batch {
		path, text = path+"/batch", "["+text+"]"
	}
	if dryRun {
		path += "?dry_run=true"
	}
	return s.Call("POST", path, text)
}

// otherSpelling spells an address so that it has the same key: a letter and its mark apart,
// the domain in A-labels.
var otherSpelling = strings.NewReplacer("b\u00fccher.", "xn--bcher-kva.", "\u00fc", "u\u0308")

// TestSecretsStayWhereTheyAreFor attacks accounts of every kind by a request that
// names another place for their secrets and does not know them: every key that
// decides it and that a request has, with a dry run and without, verified or not,
// alone and in a batch. The answer says why not, nothing is saved, no command is
// run, and no connection is made.
func TestSecretsStayWhereTheyAreFor(t *testing.T) {
	home, away := newEar(t), newEar(t)
	ran := filepath.Join(t.TempDir(), "ran")
	accounts := stored(t, home.addr, ran)
	s := secretsStack(t, away.addr, accounts)
	before := apptest.ReadAll(t, s.Files.Accounts)
	for _, a := range accounts {
		own := entry{"email": a["email"], "provider": "relay", "client_id": "c", "refresh_token": "canary-own"}
		for _, change := range []entry{
			{"provider": "other"},
			{"client_id": "mine"},
			{"oauth_token_url": "https://" + away.addr + "/token"},
			{"oauth_endpoint": away.addr},
			{"oauth_token_url": "https://" + away.addr + "/token", "oauth_endpoint": away.addr},
			{"email": otherSpelling.Replace(a["email"].(string)), "oauth_endpoint": away.addr},
			{"email": strings.ToUpper(a["email"].(string)), "oauth_endpoint": away.addr},
		} {
			for i := range 8 {
				batch, dryRun, verify := i&1 != 0, i&2 != 0, i&4 != 0
				switch {
				case a["email"] == "command@example.com" && change["oauth_token_url"] != nil:
					continue // two places for tokens at once: refused as a mistake, below
				case a["oauth_flow"] == "external" && change["client_id"] != nil:
					continue // it has no client
				}
				status, text := s.overwrite(own.with(change), batch, dryRun, verify)
				if status != 400 || !strings.Contains(text, "nothing was changed, and nothing was sent: ") {
					t.Errorf("%s, %v, batch %t, dry run %t, verify %t: %d %s", a["email"], change, batch, dryRun, verify, status, text)
				}
			}
		}
	}
	if status, text := s.overwrite(entry{"email": "command@example.com", "provider": "relay", "client_id": "c", "refresh_token": "canary-own",
		"oauth_token_url": "https://" + away.addr + "/token"}, false, true, true); status != 400 {
		t.Errorf("a token URL beside a command: %d %s", status, text)
	}
	if got := apptest.ReadAll(t, s.Files.Accounts); got != before {
		t.Errorf("the file was changed:\n%s", got)
	}
	if n := home.heard.Load() + away.heard.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
	if _, err := os.Stat(ran); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the command was run (%v)", err)
	}
}

// TestKeysThatRequestsDoNotHave has requests with keys that would redirect
// secrets, and that are for the file only: they have no effect.
func TestKeysThatRequestsDoNotHave(t *testing.T) {
	home, away := newEar(t), newEar(t)
	ran := filepath.Join(t.TempDir(), "ran")
	s := secretsStack(t, away.addr, stored(t, home.addr, ran))
	inFile := func() (all []map[string]any) {
		if err := json.Unmarshal([]byte(apptest.ReadAll(t, s.Files.Accounts)), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := inFile()
	for key, value := range map[string]any{
		"tenant": "evil.example", "oauth_proxy": "http://" + away.addr, "oauth_ca_file": s.Files.CA, "auth_identity": "boss@example.com",
		"token_command": []string{"/usr/bin/touch", ran}, "tls": "implicit", "scope": "all", "oauth_flow": "external", "subject": "boss@example.com",
		"auth_mechanism": "oauthbearer", "send_client_secret": true, "service_account_key": "{}", "client_private_key": "canary",
	} {
		body := entry{"email": "person@example.com", "provider": "relay", "client_id": "c", "client_secret": "canary-secret", "refresh_token": "canary-refresh", key: value}
		if status, text := s.overwrite(body, false, false, false); status != 200 {
			t.Errorf("%s: %d %s", key, status, text)
		}
	}
	if got := inFile(); !reflect.DeepEqual(got, before) {
		t.Errorf("the file says now %v", got)
	}
}

// TestRequestsThatBringTheirSecrets may say where they go: what arrives there is
// what they brought.
func TestRequestsThatBringTheirSecrets(t *testing.T) {
	home, away := newEar(t), newEar(t)
	s := secretsStack(t, away.addr, stored(t, home.addr, "/nonexistent"))
	for _, email := range []string{"person@example.com", "app@example.com", "bearer@example.com", "proxied@example.com", "new@example.com"} {
		body := entry{"email": email, "provider": "other", "client_id": "c2", "client_secret": "canary-own", "refresh_token": "canary-own",
			"oauth_token_url": "https://" + away.addr + "/token", "oauth_endpoint": away.addr}
		if email == "proxied@example.com" { // its proxy, with a password, is one more secret
			if status, text := s.overwrite(body, false, true, false); status != 400 || !strings.Contains(text, "stored oauth_proxy") {
				t.Errorf("%s: %d %s", email, status, text)
			}
			continue
		}
		heard := away.heard.Load()
		if status, text := s.overwrite(body, false, true, true); status != 400 || !strings.Contains(text, "verification failed") {
			t.Errorf("%s: %d %s", email, status, text)
		}
		if away.heard.Load() == heard {
			t.Errorf("%s: nothing was sent for verification", email)
		}
		s.WaitLog(1, `"msg":"account verified by the admin API"`, `"email":"`+email+`"`, fmt.Sprintf(`"by":"uid %d"`, os.Geteuid()), `"works":false`)
		if status, text := s.overwrite(body, false, false, false); status != 200 {
			t.Errorf("%s: %d %s", email, status, text)
		}
	}
	if n := home.heard.Load(); n > 0 {
		t.Errorf("%d connections to where the accounts were before", n)
	}
}

// TestLookAlikesInheritNothing has addresses that only look like those of accounts: they
// are other accounts, which have what the request brings and no more.
func TestLookAlikesInheritNothing(t *testing.T) {
	home, away := newEar(t), newEar(t)
	s := secretsStack(t, away.addr, stored(t, home.addr, "/nonexistent"))
	for email, like := range map[string]string{"per\u017fon@example.com": "person@example.com", "\u017fervice@example.com": "service@example.com"} {
		body := entry{"email": email, "provider": "relay", "client_id": "c"}
		if status, text := s.overwrite(body, false, false, false); status != 400 || !strings.Contains(text, "refresh_token") {
			t.Errorf("%s without a refresh token: %d %s", email, status, text)
		}
		if status, text := s.overwrite(body.with(entry{"refresh_token": "canary-own"}), false, false, false); status != 200 {
			t.Errorf("%s: %d %s", email, status, text)
		}
		var all []map[string]any
		if err := json.Unmarshal([]byte(apptest.ReadAll(t, s.Files.Accounts)), &all); err != nil {
			t.Fatal(err)
		}
		of := make(map[any]map[string]any)
		for _, a := range all {
			of[a["email"]] = a
		}
		if _, ok := of[like]; !ok || of[email]["refresh_token"] != "canary-own" || of[email]["client_secret"] != nil {
			t.Errorf("%s is %v beside %v", email, of[email], of[like])
		}
	}
	if n := home.heard.Load() + away.heard.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestSecretsThatStayMayBeKept has a request change what no secret depends on,
// and bring none but the refresh token.
func TestSecretsThatStayMayBeKept(t *testing.T) {
	home, away := newEar(t), newEar(t)
	s := secretsStack(t, away.addr, stored(t, home.addr, "/nonexistent"))
	body := entry{"email": "person@example.com", "provider": "Relay", "client_id": "c", "refresh_token": "canary-new",
		"oauth_endpoint": home.addr, "vmta_name": "v", "account_id": "id", "ip_address": "127.0.0.1"}
	if status, text := s.overwrite(body, false, false, false); status != 200 {
		t.Errorf("%d %s", status, text)
	}
	apptest.CheckParts(t, apptest.ReadAll(t, s.Files.Accounts), "canary-secret", "canary-new")
}

// TestRotatedTokenStaysWhereItIsFor has a provider replace a refresh token. Those
// who know the one in the file do not get the newest one sent elsewhere.
func TestRotatedTokenStaysWhereItIsFor(t *testing.T) {
	const email = "user@outlook.com"
	provider, f := apptest.NewProvider(t, sandbox.Config{Limits: "off", Accounts: []sandbox.Account{apptest.Account(email)}, Tokens: sandbox.TokenConfig{InvalidateOld: true}})
	s, away := startStack(t, provider, f), newEar(t)
	body := strings.Replace(s.Request(email, `, "overwrite": true, "verify": false`), s.Provider.TokenURL(), "https://"+away.addr+"/token", 1)
	s.Want(200, nil, "POST", "/admin/accounts?dry_run=true", body) // the file's is the only one
	c, err := s.Client(email)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	s.Want(400, []string{"nothing was sent", "refresh_token that the provider has given since"}, "POST", "/admin/accounts", body)
	s.Want(200, nil, "POST", "/admin/accounts", strings.Replace(body, "canary-refresh", "canary-another", 1))
	if n := away.heard.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}
