package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/consent"
)

// consenting are the ways to consent, with what the person does.
var consenting = map[string]func(t *testing.T, address string){
	"browser": func(t *testing.T, address string) { browse(t, address, true) },
	"device":  func(*testing.T, string) {},
}

// TestAuthorizeClients has clients that prove their identity in every way, and ones
// that are not what the file says: the consent is exchanged and saved, and refreshes
// send what the exchange sent.
func TestAuthorizeClients(t *testing.T) {
	const email = "user@outlook.com"
	certificate, key := clientPair(t)
	fileOf := func(more string) string {
		return `[{"email": "` + email + `", "provider": "outlook", "client_id": "sandbox-client-outlook", "refresh_token": "canary-dead"` + more + `}]`
	}
	tests := []struct {
		name          string
		file          string // the accounts file before
		given         string // the secret of the command line
		secret        string // what the provider wants
		certified     bool
		saved, absent string
	}{
		{"new, public", "[]", "", "", false, "", "send_client_secret"},
		{"new, confidential", "[]", "canary-client", "canary-client", false, `"send_client_secret": true`, ""},
		{"new, public with a secret", "[]", "canary-client", "", false, "", "send_client_secret"},
		{"known, confidential, secret not sent", fileOf(`, "client_secret": "canary-client"`), "", "canary-client", false, `"send_client_secret": true`, ""},
		{"known, confidential, secret sent", fileOf(`, "client_secret": "canary-client", "send_client_secret": true`), "", "canary-client", false, `"send_client_secret": true`, ""},
		{"known, public, secret sent", fileOf(`, "client_secret": "canary-client", "send_client_secret": true`), "", "", false, `"send_client_secret": false`, ""},
		{"known, public, secret not sent", fileOf(`, "client_secret": "canary-client"`), "", "", false, "", "send_client_secret"},
		{"known, new secret", fileOf(`, "client_secret": "canary-old", "send_client_secret": true`), "canary-client", "canary-client", false, `"send_client_secret": true`, "canary-old"},
		{"known, certificate", fileOf(fmt.Sprintf(`, "client_certificate": "file:%s", "client_private_key": "file:%s"`, certificate, key)), "", "", true, "", "send_client_secret"},
		{"new, certificate", "[]", "", "", true, `"client_certificate": "file:`, "send_client_secret"},
	}
	for _, tt := range tests {
		for method, act := range consenting {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				box, f := apptest.NewSandbox(t, email)
				c := newConsentServer(t, box, email)
				c.secret, c.certified = tt.secret, tt.certified
				apptest.WriteFile(t, f.Accounts, tt.file)
				cmd := c.command(f, method)
				if tt.certified && tt.file == "[]" {
					cmd.Certificate, cmd.PrivateKey = certificate, key
				}
				if tt.given != "" {
					cmd.ClientSecretFile = filepath.Join(t.TempDir(), "secret")
					apptest.WriteFile(t, cmd.ClientSecretFile, tt.given)
				}
				text, err := authorize(t, cmd, func(address string, _ io.Writer) { act(t, address) })
				if err != nil {
					t.Fatalf("%v\n%s", err, text)
				}
				saved := apptest.ReadAll(t, f.Accounts)
				apptest.CheckParts(t, saved, tt.saved)
				if strings.Contains(saved, "canary-dead") || tt.absent != "" && strings.Contains(saved, tt.absent) {
					t.Errorf("saved is\n%s", saved)
				}
				apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
			})
		}
	}
}

// clientPair writes a certificate and its key to files.
func clientPair(t *testing.T) (certificate, key string) {
	t.Helper()
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "client.pem"), filepath.Join(dir, "key.pem")
	cert, private := testkit.PEM(testkit.Certificate("client"))
	apptest.WriteFile(t, certificate, string(cert))
	apptest.WriteFile(t, key, string(private))
	return certificate, key
}

// TestConsentIsSavedUnproven has logins fail after a consent: a failure that passes, and
// one of the mailbox itself, say nothing against the refresh token, which is saved. What
// the provider refuses for good is kept beside the accounts.
func TestConsentIsSavedUnproven(t *testing.T) {
	const email = "user@outlook.com"
	tests := []struct {
		name  string
		reply string // to AUTH; "": the port is shut
		saved bool
		want  string // on the screen, or in the error
	}{
		{"too many logins", "454 4.7.0 Temporary authentication failure", true, "454"},
		{"port shut", "", true, "refused"},
		{"greylisted", "421 4.3.2 Service not active", true, "421"},
		{"mailbox may not submit yet", "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", true, "Set-CASMailbox"},
		{"not this mailbox", "535 5.7.3 Authentication unsuccessful", false, "mailbox that logs in"},
	}
	for _, known := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, known %t", tt.name, known), func(t *testing.T) {
				box, f := apptest.NewSandbox(t, email)
				c := newConsentServer(t, box, email)
				before := "[]"
				if known {
					before = `[{"email": "` + email + `", "provider": "outlook", "client_id": "sandbox-client-outlook", "refresh_token": "canary-old"}]`
				}
				apptest.WriteFile(t, f.Accounts, before)
				cmd := c.command(f, "browser")
				if tt.reply == "" {
					cmd.OAuthEndpoint = "localhost:1"
				} else if err := box.SetFaults(sandbox.Rule{Account: email, Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: tt.reply}); err != nil {
					t.Fatal(err)
				}
				text, err := authorize(t, cmd, func(address string, _ io.Writer) { browse(t, address, true) })
				apptest.CheckParts(t, text+fmt.Sprint(err), tt.want)
				kept, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Accounts), "unsaved-accounts-*.json"))
				if tt.saved {
					apptest.CheckParts(t, text, "warning: the consent is saved, but the login")
				} else {
					if len(kept) != 1 || apptest.ReadAll(t, f.Accounts) != before {
						t.Fatalf("kept are %q; the file is\n%s", kept, apptest.ReadAll(t, f.Accounts))
					}
					mustRun(t, 0, with(f, "accounts", "import", "--overwrite", kept[0])...)
				}
				if (err == nil) != tt.saved || tt.saved && len(kept) != 0 {
					t.Errorf("%v, kept are %q", err, kept)
				}
				if token := box.RefreshToken(email); !strings.Contains(apptest.ReadAll(t, f.Accounts), token) {
					t.Error("the newest refresh token is not in the file")
				}
			})
		}
	}
}

// TestAuthorizeDryRun asks no person and writes nothing.
func TestAuthorizeDryRun(t *testing.T) {
	box, f := apptest.NewSandbox(t, "user@outlook.com")
	apptest.WriteFile(t, f.Accounts, "[]")
	cmd := newConsentServer(t, box, "user@outlook.com").command(f, "browser")
	cmd.DryRun = true
	text, err := authorize(t, cmd, func(address string, _ io.Writer) { t.Errorf("a person is asked to open %s", address) })
	if err != nil || apptest.ReadAll(t, f.Accounts) != "[]" {
		t.Error(err)
	}
	apptest.CheckParts(t, text, "dry run: ")
}

// TestAuthorizeSharedMailbox asks for the consent of the user that logs in.
func TestAuthorizeSharedMailbox(t *testing.T) {
	const email, user = "shared@outlook.com", "user@outlook.com"
	for method, act := range consenting {
		for _, known := range []bool{false, true} {
			box, f := apptest.NewSandbox(t, user)
			c := newConsentServer(t, box, user)
			cmd := c.command(f, method)
			cmd.Email = email
			apptest.WriteFile(t, f.Accounts, "[]")
			if known {
				apptest.WriteFile(t, f.Accounts, `[{"email": "`+email+`", "auth_identity": "`+user+`", "provider": "outlook", "client_id": "sandbox-client-outlook", "refresh_token": "canary-old"}]`)
			} else {
				cmd.AuthIdentity = user
			}
			text, err := authorize(t, cmd, func(address string, _ io.Writer) { act(t, address) })
			if err != nil {
				t.Fatalf("%s, known %t: %v\n%s", method, known, err, text)
			}
			apptest.CheckParts(t, text, "as "+user)
			if strings.Contains(text, "as "+email) {
				t.Errorf("%s, known %t: the shared mailbox is asked for:\n%s", method, known, text)
			}
			apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), `"auth_identity": "`+user+`"`)
		}
	}
}

// TestAuthorizeKeepsReferences has accounts whose refresh_token stands elsewhere: a file
// gets the new token, and nothing else is replaced unless a person agrees.
func TestAuthorizeKeepsReferences(t *testing.T) {
	const email = "user@outlook.com"
	dir := t.TempDir()
	file, link := filepath.Join(dir, "token"), filepath.Join(dir, "link")
	if err := os.Symlink("token", link); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OAUTH_TEST_TOKEN", "canary-old")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	tests := []struct {
		reference, typed string
		agreed           bool // by flag
		toFile, inFile   bool // where the new token is
	}{
		{reference: "file:" + file, toFile: true},
		{reference: "file:" + link, toFile: true},
		{reference: "env:OAUTH_TEST_TOKEN", typed: "y\n", inFile: true},
		{reference: "env:OAUTH_TEST_TOKEN", agreed: true, inFile: true},
		{reference: "env:OAUTH_TEST_TOKEN", typed: "n\n"},
		{reference: "env:OAUTH_TEST_TOKEN", typed: "\n"},
		{reference: "env:OAUTH_TEST_TOKEN"},
		{reference: "credential:token", typed: "yes\n", inFile: true},
		{reference: "credential:token"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%s, %q, %t", filepath.Base(tt.reference), tt.typed, tt.agreed), func(t *testing.T) {
			if err := os.WriteFile(file, []byte("canary-old\n"), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(file, 0o640); err != nil {
				t.Fatal(err)
			}
			box, f := apptest.NewSandbox(t, email)
			c := newConsentServer(t, box, email)
			apptest.WriteFile(t, f.Accounts, `[{"email": "`+email+`", "provider": "outlook", "client_id": "sandbox-client-outlook", "refresh_token": "`+tt.reference+`"}]`)
			before := apptest.ReadAll(t, f.Accounts)
			cmd := c.command(f, "browser")
			cmd.newAccount = newAccount{Email: email, OAuthTokenURL: c.URL + "/token", OAuthEndpoint: cmd.OAuthEndpoint}
			cmd.ReplaceReference = tt.agreed
			sc := &screen{urls: make(chan string, 1)}
			go func() {
				select {
				case address := <-sc.urls:
					browse(t, address, true)
				case <-t.Context().Done():
				}
			}()
			ctx, cancel := apptest.Timeout(t)
			defer cancel()
			err := cmd.run(ctx, strings.NewReader(tt.typed), sc)
			if done := tt.toFile || tt.inFile; (err == nil) != done {
				t.Fatalf("%v\n%s", err, sc.text.String())
			}
			token, saved, kept := box.RefreshToken(email), apptest.ReadAll(t, f.Accounts), apptest.ReadAll(t, file)
			if (kept == token+"\n") != tt.toFile || !tt.toFile && kept != "canary-old\n" {
				t.Errorf("in the file is %q", kept)
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o640 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if strings.Contains(saved, token) != tt.inFile || strings.Contains(saved, tt.reference) == tt.inFile {
				t.Errorf("the accounts are\n%s", saved)
			}
			switch {
			case err != nil && saved != before:
				t.Error("something was saved")
			case err != nil:
				apptest.CheckParts(t, err.Error(), tt.reference, "--replace-reference")
			default:
				apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "verify")...), "1 of 1 accounts work")
			}
		})
	}
}

// TestAuthorizeRedirect has a redirect address of the person's choice.
func TestAuthorizeRedirect(t *testing.T) {
	const email = "user@outlook.com"
	ln, err := net.Listen("tcp", "127.0.0.1:0") // for a free port
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		at    consent.Redirect
		want  string // the address that the browser is sent to begins so
		paste bool
	}{
		{"port", consent.Redirect{Port: port}, fmt.Sprintf("http://localhost:%d?", port), false},
		{"loopback URI", consent.Redirect{URI: fmt.Sprintf("http://127.0.0.1:%d/back/here", port)}, fmt.Sprintf("http://127.0.0.1:%d/back/here?", port), false},
		{"URI elsewhere, port here", consent.Redirect{URI: "https://mail.example.com/back", Port: port}, "https://mail.example.com/back?", true},
		{"URI elsewhere", consent.Redirect{URI: "https://login.microsoftonline.com/common/oauth2/nativeclient"}, "https://login.microsoftonline.com/common/oauth2/nativeclient?", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			box, f := apptest.NewSandbox(t, email)
			c := newConsentServer(t, box, email)
			apptest.WriteFile(t, f.Accounts, "[]")
			cmd := c.command(f, "browser")
			cmd.RedirectPort, cmd.RedirectURI = tt.at.Port, tt.at.URI
			text, err := authorize(t, cmd, func(address string, keyboard io.Writer) {
				to := browse(t, address, false)
				if !strings.HasPrefix(to, tt.want) {
					t.Errorf("the browser is sent to %s", to)
				}
				if tt.paste {
					fmt.Fprintln(keyboard, to)
					return
				}
				browse(t, to, false)
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			apptest.CheckParts(t, apptest.ReadAll(t, f.Accounts), box.RefreshToken(email))
		})
	}
}
