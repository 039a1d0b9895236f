//go:build e2e

package e2e

import (
	"os"
	"testing"
)

func TestNodemailer(t *testing.T) {
	node := program(t, "node")
	if _, err := os.Stat("node_modules/nodemailer"); err != nil {
		t.Fatalf("nodemailer is missing: run e2e/install (%v)", err)
	}
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			eachLetter(t, s, func(t *testing.T, m mail) {
				mustRun(t, nil, node, "testdata/nodemailer_send.js", "127.0.0.1", s.port(), mechanism, m.login, clientPassword,
					clear, m.from, s.write(t, "content", m.content), m.to[0])
			})
		})
	}
}

func TestNodemailerTLS(t *testing.T) {
	node := program(t, "node")
	eachMechanism(t, func(t *testing.T, s *secured, mechanism, tlsMode string, m mail) {
		mustRun(t, nil, node, "testdata/nodemailer_send.js", "localhost", s.portFor(tlsMode), mechanism, m.login, clientPassword,
			tlsMode, m.from, s.write(t, "content", m.content), m.to[0])
	}, starttls, implicit)
}
