package config

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"os"

	"xoauth2-proxy/internal/keyfile"
)

// LoadCertificate reads the certificate for clients and its key. The error names the key of
// config.json and the file, and shows nothing of the key.
func (s *Server) LoadCertificate() (tls.Certificate, error) {
	fail := func(key, path string, err error) (tls.Certificate, error) {
		return tls.Certificate{}, fmt.Errorf("%s: %s: %w", key, path, err)
	}
	const certKey, keyKey = "server.cert_file", "server.key_file"
	cert, err := os.ReadFile(s.CertFile)
	if err != nil {
		return fail(certKey, s.CertFile, fmt.Errorf("cannot be read: %w", keyfile.WithoutPath(err)))
	}
	key, err := os.ReadFile(s.KeyFile)
	if err != nil {
		return fail(keyKey, s.KeyFile, fmt.Errorf("cannot be read: %w", keyfile.WithoutPath(err)))
	}
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		if keyfile.IsEncrypted(block) {
			return fail(keyKey, s.KeyFile, keyfile.ErrEncrypted)
		}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fail(certKey, s.CertFile, err)
	}
	return pair, nil
}
