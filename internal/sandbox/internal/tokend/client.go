package tokend

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// Client is an OAuth2 client that gets tokens for itself: an application with
// client credentials (RFC 6749 section 4.4), or a service account that signs
// assertions (RFC 7523). Its tokens open the mailboxes that it names.
type Client struct {
	// ID is the client_id, or the address of a service account.
	ID string `json:"client_id"`
	// Provider is "gmail" or "outlook": the shape of the token answers.
	// Default: "gmail" for a service account, else "outlook".
	Provider string `json:"provider"`
	// Secret authenticates an application, if it has no certificate.
	Secret string `json:"client_secret"`
	// SecretEnds is from when on Secret is refused. Default: never.
	SecretEnds time.Time `json:"client_secret_ends"`
	// Certificate, in PEM form, is what an application's assertions must be
	// signed with (RFC 7523 section 2.2).
	Certificate string `json:"certificate"`
	// PublicKey, in PEM form, makes it a service account: its assertions are
	// grants (RFC 7523 section 2.1). KeyID must be in their header if set.
	PublicKey string `json:"public_key"`
	KeyID     string `json:"key_id"`
	// Mailboxes are the addresses that it may act for, or "*@domain". Default: all
	// of its provider.
	Mailboxes []string `json:"mailboxes"`
}

// appClient is a client at work.
type appClient struct {
	Client
	cert *x509.Certificate // nil: by secret
	key  *rsa.PublicKey    // nil: no service account
}

// newAppClient checks a client.
func newAppClient(c Client) (*appClient, error) {
	a := &appClient{Client: c}
	if c.ID == "" {
		return nil, errors.New("client_id is needed")
	}
	if c.Certificate != "" {
		block, _ := pem.Decode([]byte(c.Certificate))
		if block == nil {
			return nil, errors.New("certificate: not in PEM form")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		switch cert.PublicKey.(type) {
		case *rsa.PublicKey, *ecdsa.PublicKey:
			a.cert = cert
		default:
			return nil, errors.New("certificate: neither RSA nor ECDSA")
		}
	}
	if c.PublicKey != "" {
		block, _ := pem.Decode([]byte(c.PublicKey))
		if block == nil {
			return nil, errors.New("public_key: not in PEM form")
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("public_key: %w", err)
		}
		var ok bool
		if a.key, ok = key.(*rsa.PublicKey); !ok {
			return nil, errors.New("public_key: not RSA")
		}
	}
	if a.cert == nil && a.key == nil && c.Secret == "" {
		return nil, errors.New("client_secret, certificate or public_key is needed")
	}
	if a.Provider == "" && a.key != nil {
		a.Provider = mailbox.Gmail
	}
	a.Provider = cmp.Or(a.Provider, mailbox.Outlook)
	return a, nil
}

// Validate reports what is wrong with the client.
func (c Client) Validate() error {
	_, err := newAppClient(c)
	return err
}

// mayActFor reports whether the client's tokens open the mailbox.
func (a *appClient) mayActFor(m *mailbox.Mailbox) bool {
	if m.Provider != a.Provider {
		return false
	}
	return len(a.Mailboxes) == 0 || slices.ContainsFunc(a.Mailboxes, func(allowed string) bool {
		if domain, ok := strings.CutPrefix(allowed, "*@"); ok {
			return strings.EqualFold(domain, m.Email[strings.LastIndexByte(m.Email, '@')+1:])
		}
		return strings.EqualFold(allowed, m.Email)
	})
}

// AddClient adds a client, in the place of a client with the same ID.
func (s *Server) AddClient(c Client) error {
	a, err := newAppClient(c)
	if err != nil {
		return fmt.Errorf("client %q: %w", c.ID, err)
	}
	s.grants.mu.Lock()
	defer s.grants.mu.Unlock()
	s.grants.apps[a.ID] = a
	return nil
}
