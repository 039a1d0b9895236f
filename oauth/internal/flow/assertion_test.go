package flow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestCheckKeys(t *testing.T) {
	private := func(key crypto.Signer) account.Secret {
		text, _ := tokentest.PEMKey(t, key)
		return text
	}
	ec := func(curve elliptic.Curve) *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rsa1, rsa2, p256, p384 := tokentest.RSAKey(t), tokentest.RSAKey(t), ec(elliptic.P256()), ec(elliptic.P384())
	tests := []struct {
		name string
		a    account.Account
		want error
	}{
		{"nothing to sign with", account.Account{}, nil},
		{"RSA", account.Account{Certificate: tokentest.PEMCertificate(t, rsa1), PrivateKey: private(rsa1)}, nil},
		{"P-256", account.Account{Certificate: tokentest.PEMCertificate(t, p256), PrivateKey: private(p256)}, nil},
		{"P-384", account.Account{Certificate: tokentest.PEMCertificate(t, p384), PrivateKey: private(p384)}, errKeyKind},
		{"key of another certificate", account.Account{Certificate: tokentest.PEMCertificate(t, rsa1), PrivateKey: private(rsa2)}, errCertificateKey},
		{"key of another kind", account.Account{Certificate: tokentest.PEMCertificate(t, rsa1), PrivateKey: private(p256)}, errCertificateKey},
		{"no key", account.Account{Certificate: tokentest.PEMCertificate(t, rsa1)}, errCertificateKey},
		{"canary", account.Account{Certificate: "CANARY", PrivateKey: account.NewSecret("CANARY")}, errCertificateKey},
		{"service account", account.Account{Flow: account.FlowServiceAccount, PrivateKey: private(rsa1)}, nil},
		{"service account without RSA", account.Account{Flow: account.FlowServiceAccount, PrivateKey: private(p256)}, errPrivateKey},
		{"service account, canary", account.Account{Flow: account.FlowServiceAccount, PrivateKey: account.NewSecret("CANARY")}, errPrivateKey},
	}
	for _, tt := range tests {
		err := CheckKeys(&tt.a)
		if !errors.Is(err, tt.want) || err != nil && strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
