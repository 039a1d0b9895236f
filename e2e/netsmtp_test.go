//go:build e2e

package e2e

import "testing"

// TestPerlNetSMTP sends the corpus by Net::SMTP, whose AUTH takes
// Authen::SASL.
func TestPerlNetSMTP(t *testing.T) {
	perl := program(t, "perl")
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			eachLetter(t, s, func(t *testing.T, m mail) {
				mustRun(t, nil, perl, "testdata/netsmtp_send.pl", "127.0.0.1", s.port(), mechanism, m.login, clientPassword,
					clear, m.from, s.write(t, "content", m.content), m.to[0])
			})
		})
	}
}

// TestPerlNetSMTPTLS uses starttls and SSL of Net::SMTP.
func TestPerlNetSMTPTLS(t *testing.T) {
	perl := program(t, "perl")
	eachMechanism(t, func(t *testing.T, s *secured, mechanism, tlsMode string, m mail) {
		mustRun(t, nil, perl, "testdata/netsmtp_send.pl", "localhost", s.portFor(tlsMode), mechanism, m.login, clientPassword,
			tlsMode, m.from, s.write(t, "content", m.content), m.to[0])
	}, starttls, implicit)
}
