package main

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// newCertificate returns a server's settings for localhost and the file of the
// certificate.
func newCertificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	cert := testkit.Certificate("localhost")
	file := filepath.Join(t.TempDir(), "ca.pem")
	text, _ := testkit.PEM(cert)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}, file
}

// TestRunTLS sends within TLS, with and without a look at the certificate.
func TestRunTLS(t *testing.T) {
	config, file := newCertificate(t)
	_, other := newCertificate(t)
	for _, mode := range []string{"starttls", "implicit"} {
		t.Run(mode, func(t *testing.T) {
			s := startServer(t, &testServer{tls: config, implicit: mode == "implicit", keywords: []string{"STARTTLS", "PIPELINING", "CHUNKING"}})
			for _, args := range [][]string{nil, {"--ca-file", file}, {"--pipelining", "off", "--bdat", "off"}} {
				rep, code, stderr := runLoad(t, s, append(args, "--messages", "20", "--tls", mode, "-m", "3", "--sandbox", s.url)...)
				if code != exitOK || rep.Total.Accepted != 20 || !rep.Proof.Holds {
					t.Errorf("%v: exit code %d: %s", args, code, stderr)
				}
			}
			_, code, stderr := runLoad(t, s, "--messages", "20", "--tls", mode, "--ca-file", other)
			if code != exitFailed || !strings.Contains(stderr, "certificate") {
				t.Errorf("the certificate of another was taken: exit code %d: %s", code, stderr)
			}
		})
	}
}
