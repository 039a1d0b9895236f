package smtpd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"net"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// hostnames are the names in the certificate of every endpoint.
var hostnames = []string{"localhost", "127.0.0.1", "::1", "smtp.sandbox.test"}

// authority is a certificate authority that lives as long as the sandbox.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(name string) (*authority, error) {
	cert, key, err := certify(&x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().AddDate(1, 0, 0),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("CA certificate: %w", err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})}, nil
}

// certify makes a key and a certificate for it, signed by ca or, without one, by
// itself.
func certify(tmpl *x509.Certificate, ca *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if ca == nil {
		ca = &authority{cert: tmpl, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

// issue returns a server certificate for the names, valid until notAfter.
func (a *authority) issue(names []string, notAfter time.Time) (tls.Certificate, error) {
	tmpl := &x509.Certificate{
		Subject:     pkix.Name{CommonName: names[0]},
		NotBefore:   time.Now().Add(-48 * time.Hour),
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	cert, key, err := certify(tmpl, a)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key}, nil
}

// issueRight returns the certificate that every endpoint shows.
func (a *authority) issueRight() (tls.Certificate, error) {
	return a.issue(hostnames, time.Now().AddDate(1, 0, 0))
}

// issueWrong returns a certificate that a careful client refuses.
func (a *authority) issueWrong(kind string) (tls.Certificate, error) {
	switch kind {
	case fault.CertificateOtherName:
		return a.issue([]string{"other.sandbox.test"}, time.Now().AddDate(1, 0, 0))
	case fault.CertificateExpired:
		return a.issue(hostnames, time.Now().Add(-24*time.Hour))
	}
	other, err := newAuthority("sandbox other CA")
	if err != nil {
		return tls.Certificate{}, err
	}
	return other.issueRight()
}

// CAPEM returns the certificate of the sandbox's CA.
func (s *Server) CAPEM() []byte { return bytes.Clone(s.ca.pem) }
