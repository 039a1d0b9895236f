//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

func TestCurl(t *testing.T) {
	curl := program(t, "curl")
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			eachLetter(t, s, func(t *testing.T, m mail) {
				mustRun(t, nil, curl, append(curlArgs(t, s, m), "--login-options", "AUTH="+mechanism)...)
			})
		})
	}
}

// curlArgs make curl upload the content as it is.
func curlArgs(t *testing.T, s *stack, m mail) []string {
	args := []string{"--silent", "--show-error", "--url", "smtp://" + s.addr + "/client.example.com",
		"--user", m.login + ":" + clientPassword,
		"--mail-from", m.from, "--upload-file", s.write(t, "upload", m.content)}
	for _, to := range m.to {
		args = append(args, "--mail-rcpt", to)
	}
	return args
}

// curlReplies returns the reply that a verbose run of curl got to each RCPT,
// by recipient, and to the end of the content.
func curlReplies(transcript []byte) (rcpts map[string]string, final string) {
	rcpts = map[string]string{}
	last := ""
	for line := range strings.Lines(string(transcript)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "> "):
			last = line[2:]
		case strings.HasPrefix(line, "< "):
			if to, ok := strings.CutPrefix(last, "RCPT TO:<"); ok {
				to, _, _ = strings.Cut(to, ">")
				rcpts[to] = line[2:]
			} else if last == "DATA" && !strings.HasPrefix(line, "< 354") {
				final = line[2:]
			}
		}
	}
	return rcpts, final
}
