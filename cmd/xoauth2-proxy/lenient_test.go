package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/seal"
)

// TestCommandsWithoutSecrets has each secret of an account come in each way, where it can
// be resolved and where not, as for a person who has not the environment of the service.
// Commands that need no secret work, and leave what they are not about as it was, byte for
// byte. Commands that need secrets name the one that is missing.
func TestCommandsWithoutSecrets(t *testing.T) {
	const user, gone = "user@contoso.com", "gone@contoso.com"
	certificate, key := signingPair()
	signs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(signs)
	if err != nil {
		t.Fatal(err)
	}
	serviceAccount := fmt.Sprintf(`{"type": "service_account", "client_email": "svc@p.iam.gserviceaccount.com", "private_key": %q}`, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	const refresh = `"provider": "outlook", "client_id": "c", `
	secrets := []struct{ name, entry, value string }{
		{"refresh_token", refresh + `"refresh_token": %q`, "canary-refresh"},
		{"client_secret", `"provider": "gmail", "client_id": "c", "refresh_token": "canary", "client_secret": %q`, "canary-secret"},
		{"client_private_key", refresh + `"oauth_flow": "client_credentials", "tenant": "contoso.com", "client_certificate": ` +
			fmt.Sprintf("%q", certificate) + `, "client_private_key": %q`, key},
		{"client_certificate", refresh + `"oauth_flow": "client_credentials", "tenant": "contoso.com", "client_private_key": ` +
			fmt.Sprintf("%q", key) + `, "client_certificate": %q`, certificate},
		{"service_account_key", `"provider": "gmail", "oauth_flow": "service_account", "service_account_key": %q`, serviceAccount},
		{"oauth_proxy", refresh + `"refresh_token": "canary", "oauth_proxy": %q`, "http://canary:canary@127.0.0.1:1"},
		{"client_password", refresh + `"refresh_token": "canary", "client_password": %q`, "canary-password"},
	}
	for _, s := range secrets {
		for _, way := range []string{"inline", "file", "env", "credential", "sealed"} {
			for _, here := range []bool{true, false} {
				if way == "inline" && !here || way == "sealed" && s.name == "client_certificate" {
					continue
				}
				t.Run(fmt.Sprintf("%s %s %t", s.name, way, here), func(t *testing.T) {
					_, f := apptest.NewSandbox(t, gone)
					dir := t.TempDir()
					sealKey := seal.GenerateKey()
					ring, err := seal.ParseKeyring(sealKey)
					if err != nil {
						t.Fatal(err)
					}
					value := s.value
					switch way {
					case "file":
						value = "file:" + filepath.Join(dir, "there")
					case "env":
						value = "env:LENIENT_TEST_SECRET"
					case "credential":
						value = "credential:there"
					case "sealed":
						if value, err = ring.SealField(s.value, seal.Field{Account: user, Key: s.name}); err != nil {
							t.Fatal(err)
						}
					}
					if here {
						apptest.WriteFile(t, filepath.Join(dir, "there"), s.value)
						t.Setenv("LENIENT_TEST_SECRET", s.value)
						t.Setenv("CREDENTIALS_DIRECTORY", dir)
						t.Setenv("LENIENT_TEST_KEY", sealKey)
						t.Setenv("LENIENT_TEST_TOKEN", "canary-of-16-octets-and-more")
					}
					apptest.WriteFile(t, f.Config, `{"admin": {"token": "env:LENIENT_TEST_TOKEN"}, "secrets": {"key": "env:LENIENT_TEST_KEY"}}`)
					entry := fmt.Sprintf(`{"email": %q, `+s.entry+`}`, user, value)
					other := `{"email": "` + gone + `", "provider": "outlook", "client_id": "c", "refresh_token": "canary"}`
					apptest.WriteFile(t, f.Accounts, "[\n  "+entry+",\n  "+other+"\n]\n")

					listed := mustRun(t, 0, with(f, "accounts", "list")...)
					apptest.CheckParts(t, listed, user, gone)
					shown := mustRun(t, 0, with(f, "accounts", "show", user)...)
					apptest.CheckParts(t, shown, user)
					apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "remove", gone, "--dry-run")...), "1 removed, 1 left")
					apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "remove", gone)...), "1 removed, 1 left")
					if strings.Contains(listed+shown, "left out") || strings.Contains(listed+shown, "canary") {
						t.Errorf("%s%s", listed, shown)
					}
					if text := apptest.ReadAll(t, f.Accounts); text != "[\n  "+entry+"\n]\n" {
						t.Errorf("the file is\n%s", text)
					}
					if !here {
						if checked := mustRun(t, exitConfig, with(f, "check")...); !strings.Contains(checked, "LENIENT_TEST_KEY") {
							t.Errorf("check says %s", checked)
						}
						mustRun(t, exitConfig, with(f, "accounts", "verify")...)
					}
				})
			}
		}
	}
}

// TestCommandsCheckWhatTheyResolve has references whose secrets are there and wrong: they
// are named as before.
func TestCommandsCheckWhatTheyResolve(t *testing.T) {
	_, f := apptest.NewSandbox(t, "user@outlook.com")
	file := filepath.Join(t.TempDir(), "there")
	apptest.WriteFile(t, file, "no PEM")
	certificate, _ := signingPair()
	apptest.WriteFile(t, f.Accounts, fmt.Sprintf(`[{"email": "app@contoso.com", "provider": "outlook", "client_id": "c", "oauth_flow": "client_credentials",
		"tenant": "contoso.com", "client_certificate": %q, "client_private_key": "file:%s"},
		{"email": "user@outlook.com", "provider": "outlook", "client_id": "c", "refresh_token": "env:LENIENT_TEST_SECRET"}]`, certificate, file))
	apptest.CheckParts(t, mustRun(t, 0, with(f, "accounts", "list")...), "left out: ", "client_private_key: must be in PEM form", "user@outlook.com")
}
