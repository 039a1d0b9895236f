package checkup

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/testkit"
)

// findings loads files and returns what there is to say about them, but for what is in
// force.
func findings(t *testing.T, configText, accountsText string) Findings {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s, accounts, report, err := config.Load(write("config.json", configText), write("accounts.json", accountsText), nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(All(s, accounts, report), func(f Finding) bool { return f.Gravity == InForce })
}

// certificateUntil returns a certificate that ends then, with its key.
func certificateUntil(end time.Time) (certificate, key string) {
	c, p := testkit.PEM(testkit.CertificateUntil(end, "example.com"))
	return string(c), string(p)
}

// TestFindings has files that are right by their form, each with one mistake.
func TestFindings(t *testing.T) {
	const (
		refresh = `"provider": "outlook", "client_id": "c", "refresh_token": "canary"`
		ipv6    = `{"global": {"smtp": {"use_ipv6": true}}}`
	)
	one := func(more string) string { return `[{"email": "a@contoso.com", ` + more + `}]` }
	two := func(more string) string {
		return `[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": "x"` + more + `}, {"email": "b@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": "y"` + more + `}]`
	}
	app := func(more string) string {
		return one(`"provider": "outlook", "oauth_flow": "client_credentials", "client_id": "c", "client_secret": "canary", ` + more)
	}
	signed := func(left time.Duration) string {
		c, k := certificateUntil(time.Now().Add(left))
		return one(fmt.Sprintf(`"provider": "outlook", "oauth_flow": "client_credentials", "tenant": "contoso.com", "client_id": "c", "client_certificate": %q, "client_private_key": %q`, c, k))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pair := func(left time.Duration, wrap func(key string) string) string {
		c, k := certificateUntil(time.Now().Add(left))
		base := filepath.Join(t.TempDir(), "pair")
		if err := errors.Join(os.WriteFile(base+".crt", []byte(c), 0o600), os.WriteFile(base+".key", []byte(wrap(k)), 0o600)); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"server": {"cert_file": %q, "key_file": %q}}`, base+".crt", base+".key")
	}
	plain := func(key string) string { return key }
	encrypted := func(string) string {
		return "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n"
	}
	encrypted1421 := func(string) string {
		return "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
	}
	other := func(string) string { _, k := certificateUntil(time.Now()); return k }
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		name, config, accounts string
		want                   string // the beginning of a finding; "": none but about stores
	}{
		{"nothing", "", one(refresh), ""},
		{"a placeholder as token", "", one(`"provider": "outlook", "client_id": "c", "refresh_token": "REPLACE-ME"`), "error: a@contoso.com: refresh_token: is still REPLACE-ME"},
		{"a placeholder as client", "", one(`"provider": "outlook", "client_id": "replace-me", "refresh_token": "canary"`), "error: a@contoso.com: client_id: is still"},
		{"a placeholder as secret", "", one(refresh + `, "client_secret": "REPLACE-ME", "send_client_secret": true`), "error: a@contoso.com: client_secret: is still"},
		{"a secret that is over", "", one(refresh + `, "client_secret": "s", "send_client_secret": true, "client_secret_expires": "2001-01-01"`), "warning: a@contoso.com: client_secret_expires: the secret of client_id c ends at 2001-01-01T00:00:00Z"},
		{"a secret that lasts", "", one(refresh + `, "client_secret": "s", "send_client_secret": true, "client_secret_expires": "2901-01-01"`), ""},
		{"a placeholder as tenant", "", app(`"tenant": "REPLACE-ME"`), "error: a@contoso.com: oauth_token_url or tenant: is still"},
		{"a placeholder in config.json", `{"oauth": {"token_store": "REPLACE-ME"}}`, one(refresh), "error: CONFIG:1: oauth.token_store: is still"},
		{"common for an application", "", app(`"tenant": "common"`), `error: a@contoso.com: tenant: "common" gives no application`},
		{"organizations for an application", "", app(`"tenant": "Organizations"`), `error: a@contoso.com: tenant: "organizations"`},
		{"consumers by URL", "", app(`"oauth_token_url": "https://login.microsoftonline.com/consumers/oauth2/v2.0/token"`), `error: a@contoso.com: tenant: "consumers"`},
		{"a tenant of its own", "", app(`"tenant": "contoso.com"`), ""},
		{"common for a person", "", one(refresh + `, "tenant": "common"`), ""},
		{"scope of Graph", "", one(refresh + `, "scope": "https://graph.microsoft.com/Mail.Send offline_access"`), `warning: a@contoso.com: scope: "https://graph.microsoft.com/Mail.Send" is not for SMTP`},
		{"scope gmail.send", "", one(refresh + `, "scope": "https://www.googleapis.com/auth/gmail.send"`), `warning: a@contoso.com: scope: "https://www.googleapis.com/auth/gmail.send"`},
		{"scope of IMAP", "", one(refresh + `, "scope": "https://outlook.office.com/IMAP.AccessAsUser.All"`), `warning: a@contoso.com: scope:`},
		{"scope of IMAP and SMTP", "", one(refresh + `, "scope": "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send"`), ""},
		{"an unknown scope", "", one(refresh + `, "scope": "mail-w"`), ""},
		{"scope of a provider", `{"providers": {"outlook": {"consent_scope": "https://graph.microsoft.com/.default"}}}`, one(refresh), "warning: providers.outlook.consent_scope:"},
		{"one token, two mailboxes", "", `[{"email": "a@contoso.com", ` + refresh + `}, {"email": "b@contoso.com", ` + refresh + `}]`, "warning: b@contoso.com: refresh_token: is that of a@contoso.com too"},
		{"one token, one mailbox", "", `[{"email": "a@contoso.com", ` + refresh + `}, {"email": "b@fabrikam.com", "auth_identity": "A@contoso.com", ` + refresh + `}]`, ""},
		{"a tenant without a limit", "", two(""), "note: 2 accounts are of the tenant contoso.com, whose limit on external recipients is not known"},
		{"a tenant with a limit", `{"tenants": {"contoso.com": {"licences": 10}}}`, two(""), ""},
		{"a tenant by its alias", `{"tenants": {"Contoso.onmicrosoft.com": {"licences": 10, "aliases": ["contoso.com"]}}}`, two(""), ""},
		{"a tenant that accounts name", `{"tenants": {"contoso.onmicrosoft.com": {"licences": 10}}}`, two(`, "tenant": "Contoso.onmicrosoft.com"`), ""},
		{"common is no tenant", `{"tenants": {"contoso.com": {"licences": 10}}}`, two(`, "tenant": "common"`), ""},
		{"a tenant without accounts", `{"tenants": {"fabrikam.com": {"licences": 10}}}`, one(refresh), "warning: tenants.fabrikam.com: no account is of it"},
		{"a provider misspelled", `{"providers": {"gmial": {"max_concurrent_messages": 2}}}`, one(refresh), `warning: providers.gmial: no account uses it; "gmail" may be meant`},
		{"a provider unused", `{"providers": {"corporate": {"smtp_host": "smtp.example.com"}}}`, one(refresh), `warning: providers.corporate: no account uses it`},
		{"a preset unused", `{"providers": {"gmail": {"max_concurrent_messages": 2}}}`, one(refresh), ""},
		{"a key unknown", `{"server": {"max_conections": 2}}`, one(refresh), "warning: CONFIG:1: server.max_conections: unknown key"},
		{"a key clamped", `{"providers": {"outlook": {"connection_pool": {"max_connections_per_account": 50}}}}`, one(refresh), "note: CONFIG:1: providers.outlook.connection_pool.max_connections_per_account = 50: clamped"},
		{"an entry wrong", "", `[{"email": "a@contoso.com", ` + refresh + `}, {"email": "b@contoso.com"}]`, "error: ACCOUNTS:1: accounts[1].provider: is needed"},
		{"no state_dir there", `{"state_dir": "` + dir + `/none"}`, one(refresh), "error: state_dir: the directory " + dir + "/none does not exist"},
		{"state_dir is a file", `{"state_dir": "` + file + `"}`, one(refresh), "error: state_dir: " + file + " is no directory"},
		{"no directory for tokens", `{"oauth": {"token_store": "` + dir + `/none/tokens.db"}}`, one(refresh), "error: oauth.token_store: the directory"},
		{"no directory for the log", `{"log": {"file": "` + dir + `/none/log"}}`, one(refresh), "error: log.file: the directory"},
		{"a directory for accounting that can be made", `{"accounting": {"directory": "` + dir + `/none/acct"}}`, one(refresh), ""},
		{"no directory for accounting", `{"accounting": {"directory": "` + file + `/acct"}}`, one(refresh), "error: accounting.directory: files cannot be made in " + file + "/acct by this user: "},
		{"accounting in a file", `{"accounting": {"directory": "` + file + `"}}`, one(refresh), "error: accounting.directory: files cannot be made in " + file + " by this user: " + file + ": it is no directory"},
		{"an address of elsewhere", "", one(refresh + `, "ip_address": "192.0.2.1"`), "error: a@contoso.com: ip_address: this host does not have 192.0.2.1"},
		{"an address that cannot be bound to", ipv6, one(refresh + `, "ip_address": "fe80::1"`), "error: a@contoso.com: ip_address: no connection can be made from it: listen tcp [fe80::1]:0: bind: invalid argument"},
		{"an address of another family", ipv6, one(refresh + `, "ip_address": "::1", "oauth_endpoint": "127.0.0.1:1"`), "error: a@contoso.com: ip_address: no connection can be made from ::1 to 127.0.0.1"},
		{"an address of the same family", ipv6, one(refresh + `, "ip_address": "127.0.0.2", "oauth_endpoint": "127.0.0.1:1"`), ""},
		{"an address of this host", "", one(refresh + `, "ip_address": "127.0.0.2"`), ""},
		{"an address that is not used", `{"global": {"smtp": {"use_source_ip_binding": false}}}`, one(refresh + `, "ip_address": "192.0.2.1"`), "note: ACCOUNTS:1: accounts[].ip_address"},
		{"a listener elsewhere", `{"listeners": [{"address": "192.0.2.1:2525", "passwords": "account"}]}`, one(refresh), "error: listeners: 192.0.2.1:2525: cannot be listened on"},
		{"a port in use", `{"admin": {"address": "` + taken.Addr().String() + `"}}`, one(refresh), "note: admin.address: " + taken.Addr().String() + ": is in use"},
		{"a certificate expired", "", signed(-time.Hour), "error: a@contoso.com: client_certificate: the certificate has expired"},
		{"a certificate that expires", "", signed(29 * 24 * time.Hour), "warning: a@contoso.com: client_certificate: the certificate expires on"},
		{"a certificate that lasts", "", signed(31 * 24 * time.Hour), ""},
		{"a certificate for clients expired", pair(-time.Hour, plain), one(refresh), "error: server.cert_file: PAIR.CRT: the certificate has expired"},
		{"a certificate for clients that expires", pair(29*24*time.Hour, plain), one(refresh), "warning: server.cert_file: PAIR.CRT: the certificate expires on"},
		{"a certificate for clients that lasts", pair(31*24*time.Hour, plain), one(refresh), ""},
		{"an encrypted key for clients", pair(31*24*time.Hour, encrypted), one(refresh), "error: server.key_file: PAIR.KEY: is an encrypted key"},
		{"an encrypted key for clients, RFC 1421", pair(31*24*time.Hour, encrypted1421), one(refresh), "error: server.key_file: PAIR.KEY: is an encrypted key"},
		{"a key of another certificate", pair(31*24*time.Hour, other), one(refresh), "error: server.cert_file: PAIR.CRT: tls: private key does not match"},
		{"no key file", `{"server": {"cert_file": "` + file + `", "key_file": "` + dir + `/none"}}`, one(refresh), "error: server.key_file: " + dir + "/none: cannot be read"},
		{"too few descriptors", `{"server": {"max_connections": 10000000}, "runtime": {}}`, one(refresh), "warning: the limit of open files is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Contains(tt.name, "descriptors") {
				lowerLimit(t)
			}
			text := tt.config
			if text == "" {
				text = "{}"
			}
			got := findings(t, text, tt.accounts)
			if !slices.IsSortedFunc(got, func(a, b Finding) int { return int(a.Gravity) - int(b.Gravity) }) {
				t.Errorf("not the worst first: %v", got)
			}
			found := tt.want == ""
			for _, f := range got {
				line := f.String()
				if strings.Contains(line, "canary") {
					t.Errorf("a secret is shown: %s", line)
				}
				for _, name := range []string{"config.json", "accounts.json", "pair.crt", "pair.key"} {
					if at := strings.Index(line, "/"+name+":"); at >= 0 {
						begin := strings.Index(line, "/")
						line = line[:begin] + strings.ToUpper(strings.TrimSuffix(name, ".json")) + line[at+1+len(name):]
					}
				}
				switch {
				case tt.want != "" && strings.HasPrefix(line, tt.want):
					found = true
				case tt.want == "" && !strings.Contains(line, "no oauth.token_store") && !strings.Contains(line, "is in use") && !strings.Contains(line, "the limit of open files"):
					t.Errorf("found: %s", line)
				}
			}
			if !found {
				t.Errorf("%v, want %q", got, tt.want)
			}
		})
	}
}

// lowerLimit keeps the limit of open files below what the settings of a test need.
func lowerLimit(t *testing.T) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max > 10_000_000 {
		t.Fatalf("the limit of open files is %d, %v: raise max_connections in the test", limit.Max, err)
	}
}

// TestUnwritableDirectory needs a user for whom modes hold.
func TestUnwritableDirectory(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() == 0 {
		dir = "/proc" // root cannot write here either
	} else if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	got := findings(t, `{"state_dir": "`+dir+`"}`, `[{"email": "a@contoso.com", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}]`)
	if !slices.ContainsFunc(got, func(f Finding) bool {
		return f.Gravity == Error && strings.HasPrefix(f.Text, "state_dir: "+dir+" cannot be written to")
	}) {
		t.Errorf("%v", got)
	}
}
