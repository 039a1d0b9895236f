package app

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// ownProvider has the accounts of f at a provider that no preset knows, with
// those further keys of its section.
func ownProvider(t *testing.T, f sandbox.ProxyFiles, further string) {
	t.Helper()
	accounts, err := os.ReadFile(f.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, f.Accounts, strings.ReplaceAll(string(accounts), `"provider": "outlook"`, `"provider": "own"`))
	ca, err := json.Marshal(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %s}, "listeners": [{"address": "127.0.0.1:0"}],
		"providers": {"own": {"smtp_host": "localhost", "token_url": "https://localhost/token"%s}}}`, ca, further))
}

// TestConfiguredExtensions has clients offered what a provider is configured to
// carry, and what they then ask for is passed on. Without the key it is refused.
func TestConfiguredExtensions(t *testing.T) {
	const user = "anna@outlook.com"
	const mail = "MAIL FROM:<\u00e4@example.com> SIZE=5 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=id1"
	const rcpt = "RCPT TO:<b@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old@example.com"
	tests := []struct {
		name, section, offer string
		reply                string // to MAIL
	}{
		{"none", ``, "PIPELINING SIZE 8BITMIME AUTH CHUNKING ENHANCEDSTATUSCODES", "555"},
		{"all", `, "extensions": ["8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "SIZE=36700160"]`,
			"PIPELINING SIZE 8BITMIME SMTPUTF8 DSN BINARYMIME AUTH CHUNKING ENHANCEDSTATUSCODES", "250"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			provider, f := apptest.NewSandbox(t, user)
			ownProvider(t, f, tt.section)
			s := startStack(t, provider, f)
			c := testkit.Dial(t, s.ClientAddrs()[0].String())
			c.Expect("220")
			var offer []string
			for _, line := range strings.Split(c.Cmd("EHLO client.example.com", "250"), "\n")[1:] {
				offer = append(offer, strings.Fields(line[4:])[0])
			}
			if !slices.Equal(offer, strings.Fields(tt.offer)) {
				t.Errorf("offered is %v, want %s", offer, tt.offer)
			}
			c.Login(user, "placeholder")
			c.Cmd(mail, tt.reply)
			if tt.reply != "250" {
				return
			}
			c.Cmd(rcpt, "250")
			c.Send("BDAT 5 LAST\r\na\nb\x00c")
			c.Expect("250")
			got := provider.Messages()
			if len(got) != 1 || string(got[0].Body) != "a\nb\x00c" || strings.Join(got[0].Params, " ") != "SIZE=5 BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=id1" ||
				len(got[0].Recipients) != 1 || strings.Join(got[0].Recipients[0].Params, " ") != "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old@example.com" {
				t.Errorf("the provider has %+v", got)
			}
		})
	}
}
