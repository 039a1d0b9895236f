package httpc

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"time"

	"xoauth2-proxy/internal/account"
)

// Config is how requests are sent.
type Config struct {
	// Timeout bounds a request whose context has no deadline.
	Timeout time.Duration
	// ConnectTimeout bounds connecting, the TLS handshake included.
	ConnectTimeout time.Duration
	// IdleTimeout closes connections after none was used for so long.
	IdleTimeout time.Duration
	// ConnectionsPerHost caps the connections to one host by one route; further
	// requests wait.
	ConnectionsPerHost int
	// Proxy is the URL of the HTTP proxy for requests whose route has none.
	Proxy account.Secret
	// CAFile names a PEM file of authorities to trust beside the system's; ExtraCAs
	// are more of them.
	CAFile   string
	ExtraCAs []*x509.Certificate
	// Whole reports whether body, of which the connection lost the end that the
	// header announced, is an answer all the same. Nil: none is.
	Whole func(body []byte) bool
}

// Roots returns the certificate authorities to trust: the system's and the
// configured ones. Nil stands for the system's alone.
func (c Config) Roots() (*x509.CertPool, error) {
	if c.CAFile == "" && len(c.ExtraCAs) == 0 {
		return nil, nil
	}
	pool := systemRoots()
	if c.CAFile != "" {
		if err := appendCAFile(pool, c.CAFile); err != nil {
			return nil, err
		}
	}
	for _, ca := range c.ExtraCAs {
		pool.AddCert(ca)
	}
	return pool, nil
}

// systemRoots returns a new pool with the system's authorities.
func systemRoots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil { // a system without any: ours are the only ones then
		return x509.NewCertPool()
	}
	return pool
}

// appendCAFile adds the certificates of a PEM file.
func appendCAFile(pool *x509.CertPool, path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s has no certificate in PEM form", path)
	}
	return nil
}

// CheckURL refuses, with ErrURL, a URL that must not be asked: a request has a
// refresh token in it, which no network outside the machine may carry in the
// clear.
func CheckURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil {
		return ErrURL
	}
	return checkURL(u)
}

func checkURL(u *url.URL) error {
	if account.CheckTokenURL(u) != nil {
		return ErrURL
	}
	return nil
}

// CheckProxy returns ErrProxyURL if s is no URL of a proxy. No proxy is good.
func CheckProxy(s account.Secret) error {
	_, err := proxyURL(s)
	return err
}

// proxyURL reads the URL of a proxy; nil for none.
func proxyURL(s account.Secret) (*url.URL, error) {
	if s.IsZero() || s == account.NewSecret(account.NoProxy) {
		return nil, nil
	}
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, ErrProxyURL
	}
	return u, nil
}
