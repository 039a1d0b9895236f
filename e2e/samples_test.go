//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// sample returns a sample of configs/ with other values, each of which must be in it.
func sample(t *testing.T, name string, replace ...[2]string) string {
	t.Helper()
	text, err := os.ReadFile("../configs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	out := string(text)
	for _, r := range replace {
		if !strings.Contains(out, r[0]) {
			t.Fatalf("%s has no %q", name, r[0])
		}
		out = strings.Replace(out, r[0], r[1], 1)
	}
	return out
}

// TestPostfixSample sends letters by a Postfix with configs/postfix.cf, which has every
// setting that it needs.
func TestPostfixSample(t *testing.T) {
	sendmail := postfixSendmail(t)
	s := newStack(t)
	passwords := s.write(t, "sample.passwords", fmt.Appendf(nil, "%[1]s %[1]s:placeholder\n%[2]s %[2]s:placeholder\n", gmailUser, outlookUser))
	p := startPostfix(t, s, "cram-md5", // which the sample has to replace
		sample(t, "postfix.cf", [2]string{"127.0.0.1]:2525", "127.0.0.1]:" + s.port()}, [2]string{"hash:/etc/postfix/xoauth2-proxy.passwords", "texthash:" + passwords}))
	if out, err := exec.Command(program(t, "postconf"), "-c", p.config, "-n").CombinedOutput(); err != nil || strings.Contains(string(out), "unused parameter") {
		t.Errorf("postconf: %v\n%s", err, out)
	}
	sendLetters(t, s, smallLetters(), func(t *testing.T, m mail) {
		mustRun(t, withLF(m.content), sendmail, "-C", p.config, "-i", "-f", m.from, "--", m.to[0])
	}, s.arrivedTraced)
}

// TestEximSample sends letters by an Exim with configs/exim.conf, and nothing else but what
// keeps it in its own directory.
func TestEximSample(t *testing.T) {
	exim := eximProgram(t)
	s := newStack(t)
	dir := eximDir(t, s)
	own := fmt.Sprintf("primary_hostname = mta.example.com\nexim_path = %s\nspool_directory = %[2]s/spool\nlog_file_path = %[2]s/log/%%s\nkeep_environment =\n", exim, dir)
	config := s.write(t, "sample.conf", []byte(own+sample(t, "exim.conf", [2]string{"port = 2525", "port = " + s.port()})))
	t.Cleanup(func() { logEximFailure(t, dir) })
	sendLetters(t, s, smallLetters(), func(t *testing.T, m mail) {
		mustRun(t, withLF(m.content), exim, "-C", config, "-odf", "-i", "-f", m.from, "--", m.to[0])
	}, s.arrivedTraced)
	if left := mustRun(t, nil, exim, "-C", config, "-bpc"); strings.TrimSpace(string(left.stdout)) != "0" {
		t.Errorf("%s messages are left in the queue", left)
	}
}
