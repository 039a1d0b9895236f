//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// Recipients that the provider refuses in these tests.
const (
	unknownRecipient = "unknown@example.com"
	busyRecipient    = "busy@example.com"
)

var recipientFaults = []sandbox.Rule{
	{Phase: sandbox.PhaseRcpt, Recipient: unknownRecipient, Action: sandbox.ActionReply,
		Reply: "550 5.1.1 The email account that you tried to reach does not exist"},
	{Phase: sandbox.PhaseRcpt, Recipient: busyRecipient, Action: sandbox.ActionReply,
		Reply: "452 4.2.2 The recipient's inbox is out of storage space"},
}

// recipientCases are sets of recipients of one message.
func recipientCases() []struct {
	name string
	to   []string
} {
	r := func(n int) string { return fmt.Sprintf("recipient%d@example.com", n) }
	return []struct {
		name string
		to   []string
	}{
		{"1", []string{r(1)}},
		{"2", []string{r(1), r(2)}},
		{"5", []string{r(1), r(2), r(3), r(4), r(5)}},
		{"50", fifty(r)},
		{"last of 2 refused", []string{r(1), unknownRecipient}},
		{"first of 2 refused", []string{unknownRecipient, r(2)}},
		{"2 of 5 refused", []string{r(1), unknownRecipient, r(3), busyRecipient, r(5)}},
		{"the only one refused", []string{unknownRecipient}},
		{"all of 2 refused", []string{unknownRecipient, busyRecipient}},
	}
}

func fifty(r func(int) string) []string {
	to := make([]string, 50)
	for i := range to {
		to[i] = r(i)
	}
	return to
}

// fates is what a client was told.
type fates struct {
	refused map[string]int // reply codes of the recipients that were refused
	taken   bool           // 250 at the end of the content
}

// TestRecipients compares what two clients were told of each recipient with
// what became of it at the provider.
func TestRecipients(t *testing.T) {
	for _, client := range []struct {
		name string
		send func(*testing.T, *stack, mail) fates
	}{
		{"curl", curlFates},
		{"smtplib", smtplibFates},
	} {
		t.Run(client.name, func(t *testing.T) {
			s := newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Faults: recipientFaults})
			for _, tt := range recipientCases() {
				t.Run(tt.name, func(t *testing.T) {
					if err := s.provider.ClearMessages(); err != nil {
						t.Fatal(err)
					}
					m := mail{login: gmailUser, from: gmailUser, to: tt.to, content: compose("text/plain", "7bit", tt.name+"\r\n")}
					checkFates(t, s, m, client.send(t, s, m))
				})
			}
		})
	}
}

// checkFates: a recipient has the message if and only if the client may take
// it that it has.
func checkFates(t *testing.T, s *stack, m mail, told fates) {
	t.Helper()
	for to, code := range told.refused {
		if !slices.Contains(m.to, to) {
			t.Errorf("the client was told of %s, which is none of the recipients", to)
		}
		if code >= 500 && to != unknownRecipient {
			t.Errorf("%s was refused for good with %d, which the provider did not say", to, code)
		}
	}
	if !told.taken {
		if got := s.provider.Messages(); len(got) != 0 {
			t.Errorf("the client was refused, but %d messages are at the provider, to %q", len(got), provider.Paths(got[0]))
		}
		if !slices.Contains(m.to, unknownRecipient) {
			t.Error("the client was refused though no recipient is bad")
		}
		return
	}
	m.to = slices.DeleteFunc(slices.Clone(m.to), func(to string) bool { return told.refused[to] != 0 })
	s.arrived(t, m)
}

// curlFates sends by curl, which goes on when the server refused a recipient
// and took another.
func curlFates(t *testing.T, s *stack, m mail) fates {
	t.Helper()
	o, err := run(t.Context(), nil, program(t, "curl"), append(curlArgs(t, s, m), "--verbose", "--mail-rcpt-allowfails")...)
	if err != nil {
		t.Fatalf("curl: %v: %v", err, o)
	}
	rcpts, final := curlReplies(o.stderr)
	told := fates{refused: map[string]int{}, taken: strings.HasPrefix(final, "250")}
	for to, reply := range rcpts {
		code, _, _ := strings.Cut(reply, " ")
		if n, err := strconv.Atoi(code); err != nil {
			t.Errorf("curl got the reply %q to RCPT", reply)
		} else if n >= 400 {
			told.refused[to] = n
		}
	}
	if told.taken != (o.code == 0) {
		t.Errorf("the final reply is %q, but curl has exit code %d: %v", final, o.code, o)
	}
	return told
}

// smtplibFates sends by smtplib, whose sendmail returns the refused ones.
func smtplibFates(t *testing.T, s *stack, m mail) fates {
	t.Helper()
	r := smtplib(t, s, m)
	told := fates{refused: map[string]int{}, taken: r.Error == nil && len(r.Refused) < len(m.to)}
	for to, reply := range r.Refused {
		told.refused[to] = reply.Code
	}
	return told
}
