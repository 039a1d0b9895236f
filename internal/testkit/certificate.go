package testkit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// Certificate makes a key and a certificate for names, host names or IP addresses, that
// signs itself and is valid for a year; the first name is its common name.
func Certificate(names ...string) tls.Certificate {
	return CertificateOf(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), names...)
}

// CertificateOf is Certificate for a key.
func CertificateOf(key crypto.Signer, names ...string) tls.Certificate {
	return certificate(key, time.Now().AddDate(1, 0, 0), names)
}

// CertificateUntil is Certificate until the end, which may be over.
func CertificateUntil(end time.Time, names ...string) tls.Certificate {
	return certificate(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), end, names)
}

func certificate(key crypto.Signer, end time.Time, names []string) tls.Certificate {
	begin := time.Now()
	if end.Before(begin) {
		begin = end
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: begin.Add(-time.Hour), NotAfter: end,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// Roots trusts the certificate alone.
func Roots(c tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c.Leaf)
	return pool
}

// PEM is the certificate and its private key as they stand in files.
func PEM(c tls.Certificate) (certificate, key []byte) {
	private := must(x509.MarshalPKCS8PrivateKey(c.PrivateKey))
	return PublicPEM(c), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
}

// PublicPEM is the certificate alone as it stands in a file.
func PublicPEM(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// Trusting is the client's side of TLS with the holder of one of the certificates in pem.
func Trusting(pem []byte, name string) *tls.Config {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		panic("no certificate in PEM")
	}
	return &tls.Config{RootCAs: pool, ServerName: name}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
