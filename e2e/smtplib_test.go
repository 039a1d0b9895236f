//go:build e2e

package e2e

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPythonSmtplib(t *testing.T) {
	s := newStack(t)
	eachLetter(t, s, func(t *testing.T, m mail) {
		if r := smtplib(t, s, m); len(r.Refused) != 0 || r.Error != nil {
			t.Errorf("smtplib was told %+v", r)
		}
	})
}

// TestPythonSmtplibTLS uses starttls and SMTP_SSL. smtplib chooses CRAM-MD5 by
// itself where that is offered.
func TestPythonSmtplibTLS(t *testing.T) {
	s := newSecured(t)
	python := program(t, "python3")
	for _, mode := range []string{starttls, implicit} {
		t.Run(mode, func(t *testing.T) {
			sendLetters(t, s.stack, smallLetters(), func(t *testing.T, m mail) {
				o := mustRun(t, nil, python, "testdata/smtplib_send.py", "--tls="+mode, "--ca="+s.ca, "localhost", s.portFor(mode), m.login,
					clientPassword, m.from, s.write(t, "content", m.content), m.to[0])
				if got := strings.TrimSpace(string(o.stdout)); got != `{"refused": {}, "error": null}` {
					t.Errorf("smtplib was told %s", got)
				}
			}, s.arrived)
		})
	}
}

// smtplibResult is what testdata/smtplib_send.py prints.
type smtplibResult struct {
	// Refused has the reply to each refused recipient.
	Refused map[string]smtplibReply `json:"refused"`
	// Error is the reply that ended the transaction, if one did.
	Error *smtplibReply `json:"error"`
}

type smtplibReply struct {
	Code int    `json:"code"`
	Text string `json:"text"`
}

// smtplib sends a message by Python's smtplib.
func smtplib(t *testing.T, s *stack, m mail) smtplibResult {
	t.Helper()
	args := append([]string{"testdata/smtplib_send.py", "127.0.0.1", s.port(), m.login, clientPassword, m.from,
		s.write(t, "content", m.content)}, m.to...)
	o := mustRun(t, nil, program(t, "python3"), args...)
	var r smtplibResult
	if err := json.Unmarshal(o.stdout, &r); err != nil {
		t.Fatalf("smtplib_send.py: %v: %v", err, o)
	}
	return r
}
