package redisstore

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"xoauth2-proxy/internal/account"
)

// Config says where the server is, and who logs in there.
type Config struct {
	// URL is redis://HOST:PORT/DATABASE, rediss:// for TLS, or unix:///PATH. See CheckURL.
	URL string
	// CAFile has the certificates, in PEM form, that the server's is checked against.
	// Default: empty, those of the system.
	CAFile string
	// Username is a user of the server's access list. Default: empty, its default user.
	Username string
	// Password is for the user. Default: none.
	Password account.Secret
}

const defaultPort = "6379"

// place is what a URL names.
type place struct {
	network, address string
	serverName       string // of the certificate; "": no TLS
	database         int
}

// CheckURL accepts the URL of a server. Its errors do not repeat what may be a password.
func CheckURL(s string) (string, error) {
	_, err := parseURL(s)
	return s, err
}

func parseURL(s string) (place, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil: // the error would quote it
		return place{}, errors.New(`must be a URL such as "rediss://redis.example.com:6379"`)
	case u.User != nil:
		return place{}, errors.New(`must not have a user or a password in it: set share.username, and share.password to a reference such as "file:/etc/xoauth2/redis-password"`)
	case u.RawQuery != "" || u.Fragment != "":
		return place{}, errors.New("must have no options after ? or #")
	case u.Scheme == "unix":
		if u.Host != "" || !filepath.IsAbs(u.Path) {
			return place{}, errors.New(`must name an absolute path, such as "unix:///run/redis/redis.sock"`)
		}
		return place{network: "unix", address: filepath.Clean(u.Path)}, nil
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return place{}, errors.New(`must begin with "redis://", "rediss://" (TLS) or "unix://"`)
	case u.Hostname() == "":
		return place{}, errors.New("must name a host")
	}
	p := place{network: "tcp"}
	port := u.Port()
	if port == "" {
		port = defaultPort
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return place{}, errors.New("must have a port from 1 to 65535")
	}
	p.address = net.JoinHostPort(u.Hostname(), port)
	if u.Scheme == "rediss" {
		p.serverName = u.Hostname()
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		if p.database, err = strconv.Atoi(path); err != nil || p.database < 0 {
			return place{}, errors.New("must have the number of a database, or nothing, after the host")
		}
	}
	return p, nil
}

// tlsConfig returns nil if the server is reached without TLS.
func (c *Config) tlsConfig(p place) (*tls.Config, error) {
	if p.serverName == "" {
		if c.CAFile != "" {
			return nil, errors.New("share.ca_file is for a share.url that begins with rediss://")
		}
		return nil, nil
	}
	roots, err := LoadCA(c.CAFile)
	if err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, ServerName: p.serverName, RootCAs: roots}, nil
}

// LoadCA reads certificates in PEM form; "" is the system's, nil.
func LoadCA(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificates of the store: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("cannot read the certificates of the store: %s has none in PEM form", path)
	}
	return pool, nil
}
