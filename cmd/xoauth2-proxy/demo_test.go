package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
)

// TestDemoTellsOfMessages: each message that arrives has a line in the demo's terminal, which
// names its file.
func TestDemoTellsOfMessages(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, "", func(p *process) {
		p.Cmd.Args = []string{os.Args[0], "demo", "--dir", dir, "--port", "0", "--admin-port", "0", "--sandbox-port", "0"}
		p.Cmd.Stdout = p.Cmd.Stderr
	})
	addr := testkit.LoggedAddress.FindStringSubmatch(p.waitLine("listening for clients"))[1]
	p.waitLine("Ctrl-C ends it")
	for _, account := range []string{"user@gmail.com", "user@outlook.com"} {
		if err := apptest.Deliver(addr, account, "placeholder", "of "+account); err != nil {
			t.Fatal(err)
		}
		_, file, ok := strings.Cut(p.waitLine("arrived: message "), " octets: ")
		if !ok || !strings.Contains(p.seen[len(p.seen)-1], " at "+account+` from "`) {
			t.Errorf("%q", p.seen[len(p.seen)-1])
		}
		apptest.CheckParts(t, apptest.ReadAll(t, filepath.Clean(file)), "of "+account)
	}
}

func TestTellQuotes(t *testing.T) {
	var b bytes.Buffer
	tell(&b, "mail", &sandbox.Message{ID: 7, Account: "a@gmail.com", ReversePath: "x\x1b[2J@a.example", Size: 5,
		Recipients: []sandbox.Recipient{{Path: "r\n@a.example"}, {Path: "s@a.example"}}})
	want := `arrived: message 7 at a@gmail.com from "x\x1b[2J@a.example" to "r\n@a.example", "s@a.example", 5 octets: mail/000007.eml` + "\n"
	if b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
}
