//go:build e2e

package e2e

import (
	"bytes"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit/provider"
)

// TestSwaks sends the corpus. With --no-data-fixup swaks sends a file as it
// is, so the test does the dot-stuffing.
func TestSwaks(t *testing.T) {
	swaks := program(t, "swaks")
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			eachLetter(t, s, func(t *testing.T, m mail) {
				data := s.write(t, "data", append(stuffed(m.content), '.'))
				mustRun(t, nil, swaks, "--server", s.addr, "--auth", mechanism,
					"--auth-user", m.login, "--auth-password", clientPassword,
					"--from", m.from, "--to", m.to[0],
					"--data", "@"+data, "--no-data-fixup", "--suppress-data")
			})
		})
	}
}

// TestSwaksTLS sends by --tls (STARTTLS) and --tlsc (implicit).
func TestSwaksTLS(t *testing.T) {
	swaks := program(t, "swaks")
	eachMechanism(t, func(t *testing.T, s *secured, mechanism, tlsMode string, m mail) {
		data := s.write(t, "data", append(stuffed(m.content), '.'))
		o := mustRun(t, nil, swaks, "--server", "127.0.0.1:"+s.portFor(tlsMode), map[string]string{starttls: "--tls", implicit: "--tlsc"}[tlsMode],
			"--auth", mechanism, "--auth-user", m.login, "--auth-password", clientPassword,
			"--from", m.from, "--to", m.to[0],
			"--data", "@"+data, "--no-data-fixup", "--suppress-data")
		if !bytes.Contains(o.stdout, []byte("=== TLS started with cipher")) {
			t.Errorf("no TLS: %v", o)
		}
	}, starttls, implicit)
}

// TestSwaksRefused: no client may log in without TLS where it is required, or with a wrong
// password.
func TestSwaksRefused(t *testing.T) {
	swaks := program(t, "swaks")
	s := newSecured(t)
	for _, tt := range []struct {
		name, want string
		args       []string
	}{
		{"no TLS", "530 5.7.0", []string{"--quit-after", "RCPT"}},
		{"wrong password", "535 5.7.8", []string{"--tls", "--auth", "PLAIN", "--auth-user", gmailUser, "--auth-password", "guess"}},
		{"unknown account", "535 5.7.8", []string{"--tls", "--auth", "CRAM-MD5", "--auth-user", "nobody@gmail.com", "--auth-password", clientPassword}},
	} {
		o, err := run(t.Context(), nil, swaks, append([]string{"--server", s.addr, "--from", gmailUser, "--to", "recipient@example.com"}, tt.args...)...)
		if err != nil || o.code == 0 || !bytes.Contains(o.stdout, []byte(tt.want)) {
			t.Errorf("%s: want %s: %v: %v", tt.name, tt.want, err, o)
		}
	}
	if n := len(s.provider.Messages()); n != 0 {
		t.Errorf("%d messages are at the provider", n)
	}
}

// stuffed doubles the dot at the start of each line that begins with one (RFC
// 5321 section 4.5.2).
func stuffed(content []byte) []byte {
	out := bytes.ReplaceAll(content, []byte("\n."), []byte("\n.."))
	if bytes.HasPrefix(out, []byte(".")) {
		out = append([]byte("."), out...)
	}
	return out
}

// TestSwaksOperatorsLine is the command that operators know, as they type it.
func TestSwaksOperatorsLine(t *testing.T) {
	s := newStack(t)
	o := mustRun(t, nil, program(t, "swaks"), operatorsLine(s)...)
	got := s.provider.Messages()
	if len(got) != 1 {
		t.Fatalf("%d messages are at the provider, want 1", len(got))
	}
	m := got[0]
	if m.Account != gmailUser || m.ReversePath != "test@example.com" || strings.Join(provider.Paths(m), ",") != "recipient@gmail.com" {
		t.Errorf("arrived: login %s, from %s, to %s", m.Account, m.ReversePath, provider.Paths(m))
	}
	if id := messageID(o.stdout); id == "" || id != messageID(m.Body) {
		t.Errorf("Message-Id %q arrived, want %q as in the transcript", messageID(m.Body), id)
	}
}

// operatorsLine is the arguments of swaks, as operators know them.
func operatorsLine(s *stack) []string {
	return []string{"--server", "127.0.0.1:" + s.port(),
		"--auth-user", "user@gmail.com", "--auth-password", "placeholder",
		"--from", "test@example.com", "--to", "recipient@gmail.com"}
}

// messageID finds the Message-Id in a message or in a transcript of swaks.
func messageID(text []byte) string {
	const field = "Message-Id: <"
	_, rest, ok := bytes.Cut(text, []byte(field))
	if !ok {
		return ""
	}
	id, _, _ := bytes.Cut(rest, []byte(">"))
	return string(id)
}
