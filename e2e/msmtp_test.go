//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestMsmtp sends the corpus as a user's programs do: on standard input with
// the line ends of Unix.
func TestMsmtp(t *testing.T) {
	msmtp := program(t, "msmtp")
	for _, mechanism := range []string{"plain", "login"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			config := s.write(t, "msmtprc", []byte(strings.Join([]string{
				"host 127.0.0.1",
				"port " + s.port(),
				"auth " + mechanism,
				"password " + clientPassword,
				"tls off",
				"",
			}, "\n")))
			eachLetter(t, s, func(t *testing.T, m mail) {
				mustRun(t, withLF(m.content), msmtp, "--file", config, "--user", m.login, "--from", m.from, "--", m.to[0])
			})
		})
	}
}
