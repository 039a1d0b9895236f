package tokentest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// Users of the sandbox; the scope of an application at Microsoft, and a service
// account at Google.
const (
	GmailUser   = "user@gmail.com"
	OutlookUser = "user@outlook.com"
	AppScope    = "https://outlook.office365.com/.default"
	SvcEmail    = "svc@project.iam.gserviceaccount.com"
)

// Account is an account of the token endpoint at u.
func Account(u string) *account.Account {
	return &account.Account{
		ID:           "acct1",
		Email:        "user@example.com",
		ClientID:     "client-1",
		TokenURL:     u + "/token",
		RefreshToken: account.NewSecret("refresh-configured"),
	}
}

// AccountLike is a changed copy of a.
func AccountLike(a *account.Account, change func(*account.Account)) *account.Account {
	c := *a
	change(&c)
	return &c
}

// NewSandbox starts a provider on the loopback.
func NewSandbox(t *testing.T, cfg sandbox.Config) *sandbox.Server {
	t.Helper()
	return provider.Start(t, cfg)
}

// SandboxAccount is the proxy's side of an account of the sandbox.
func SandboxAccount(s *sandbox.Server, email string) *account.Account {
	m := s.Mailbox(email)
	return &account.Account{ID: m.ID, Email: email, Provider: m.Provider, ClientID: m.ClientID,
		ClientSecret: account.NewSecret(m.ClientSecret), RefreshToken: account.NewSecret(m.RefreshToken),
		TokenURL: s.TokenURL()}
}

// PEMKey returns a key in PEM form, and its public half.
func PEMKey(t *testing.T, key crypto.Signer) (private account.Secret, public string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return account.NewSecret(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))),
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub}))
}

// PEMCertificate returns a certificate that key has signed for itself.
func PEMCertificate(_ *testing.T, key crypto.Signer) string {
	return string(testkit.PublicPEM(testkit.CertificateOf(key, "app")))
}

// RSAKey returns a new key.
func RSAKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// CAFile writes the certificate of a server that speaks TLS to a file.
func CAFile(t *testing.T, ts *Server) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ts.Certificate().Raw})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
