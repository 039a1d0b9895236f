package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"xoauth2-proxy/loadgen/report"
)

// runLoad runs the program against s and returns its report, exit code and
// what it said on standard error.
func runLoad(t *testing.T, s *testServer, args ...string) (*report.Report, int, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"--target", s.addr, "--json", "-", "-c", "4"}, args...)
	code := run(context.Background(), args, &stdout, &stderr)
	if stdout.Len() == 0 {
		return nil, code, stderr.String()
	}
	rep, err := report.Read(&stdout)
	if err != nil {
		t.Fatal(err)
	}
	return rep, code, stderr.String()
}

// TestRunProven sends with every way of speaking, and has all of it proven.
func TestRunProven(t *testing.T) {
	for _, tt := range []struct {
		name     string
		keywords []string
		args     []string
		verb     string
	}{
		{"step by step, DATA", nil, nil, "DATA"},
		{"step by step, BDAT", []string{"CHUNKING"}, nil, "BDAT"},
		{"pipelined, DATA", []string{"PIPELINING"}, nil, "DATA"},
		{"one flight", []string{"PIPELINING", "CHUNKING"}, nil, "BDAT"},
		{"offered and not used", []string{"PIPELINING", "CHUNKING"}, []string{"--pipelining", "off", "--bdat", "off"}, "DATA"},
		{"AUTH LOGIN", nil, []string{"--auth", "login"}, "DATA"},
		{"large", nil, []string{"--size", "300k", "--messages", "5"}, "DATA"},
		{"large, one flight", []string{"PIPELINING", "CHUNKING"}, []string{"--size", "300k", "--messages", "5"}, "BDAT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, &testServer{keywords: tt.keywords})
			args := []string{"--messages", "50", "-m", "7", "--accounts", "3", "--recipients", "3", "--sandbox", s.url, "--hashes"}
			rep, code, stderr := runLoad(t, s, append(args, tt.args...)...)
			if code != exitOK {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			n := int64(len(s.delivered))
			if p := rep.Proof; !p.Holds || p.Acknowledged != n || p.Delivered != n {
				t.Errorf("proof = %+v, %d were delivered", p, n)
			}
			if rep.Total.Accepted != n || rep.Total.Due != n || rep.Total.Latency.Count != n || rep.Total.Failed() != 0 {
				t.Errorf("total = %+v, %d were delivered", rep.Total, n)
			}
			for _, d := range s.delivered {
				if d.rcpts != 3 || d.verb != tt.verb {
					t.Fatalf("a message by %s for %d recipients", d.verb, d.rcpts)
				}
			}
			if len(s.logins) != 3 {
				t.Errorf("logins = %v, want three accounts", s.logins)
			}
		})
	}
}

// TestRunOpenLoop checks that each scheduled message is sent in its phase.
func TestRunOpenLoop(t *testing.T) {
	s := startServer(t, &testServer{keywords: []string{"PIPELINING"}})
	rep, code, stderr := runLoad(t, s, "--steps", "200/s,400/s", "--step-time", "100ms", "--ramp", "100ms", "--arrivals", "fixed",
		"--idle", "5", "--sandbox", s.url)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	for i, want := range []int64{10, 20, 40} {
		if p := rep.Phases[i]; p.Due != want || p.Accepted != want {
			t.Errorf("phase %d: %d due, %d accepted, want %d", i, p.Due, p.Accepted, want)
		}
	}
	if rep.Idle != 5 || rep.IdleAlive != 5 {
		t.Errorf("%d idle, %d of them alive, want 5", rep.Idle, rep.IdleAlive)
	}
	if rep.Connections != 4 || s.connections != 9 {
		t.Errorf("%d connections reported, %d seen, want 4 and 5 idle", rep.Connections, s.connections)
	}
	if len(rep.Series) == 0 || rep.Generator == nil {
		t.Error("no series, or nothing of the generator")
	}
}

// TestRunRefusals checks that every way to fail is counted as what it is, that
// it ends no more than its message, and that the exit code tells.
func TestRunRefusals(t *testing.T) {
	refuse := func(verb, reply string) func(string) string {
		var n atomic.Int64
		return func(line string) string {
			if strings.HasPrefix(line, verb) && n.Add(1) == 3 {
				return reply
			}
			return ""
		}
	}
	for _, tt := range []struct {
		name            string
		verb, reply     string
		refused, broken int64
		phase           string
	}{
		{name: "MAIL", verb: "MAIL", reply: "450 4.2.1 later", refused: 1, phase: "mail"},
		{name: "MAIL 421", verb: "MAIL", reply: "421 4.3.2 going", refused: 1, phase: "mail"},
		{name: "RCPT", verb: "RCPT", reply: "550 5.1.1 who", refused: 1, phase: "rcpt"},
		{name: "DATA", verb: "DATA", reply: "451 4.3.0 no", refused: 1, phase: "data"},
		{name: "closed at MAIL", verb: "MAIL", reply: "close", broken: 1, phase: "mail"},
		{name: "closed at DATA", verb: "DATA", reply: "close", broken: 1, phase: "data"},
	} {
		for _, keywords := range [][]string{nil, {"PIPELINING"}} {
			t.Run(fmt.Sprintf("%s %v", tt.name, keywords), func(t *testing.T) {
				s := startServer(t, &testServer{keywords: keywords, override: refuse(tt.verb, tt.reply)})
				rep, code, _ := runLoad(t, s, "--messages", "10", "-c", "1", "--sandbox", s.url)
				if code != exitFailed {
					t.Errorf("exit code %d", code)
				}
				if p := rep.Total; p.Accepted != 9 || p.Refused != tt.refused || p.Broken != tt.broken || p.Failed() != 1 {
					t.Errorf("total = %+v", p)
				}
				if r := rep.Replies[1]; r.Phase != tt.phase || r.Count != 1 || (tt.broken == 0 && !strings.HasPrefix(tt.reply, r.Sample[:3])) {
					t.Errorf("reply = %+v", r)
				}
				if p := rep.Proof; !p.Holds || p.Acknowledged != 9 {
					t.Errorf("proof = %+v", p)
				}
			})
		}
	}
}

// TestRunResend sends again what was refused for now, or cut off before its end, and nothing
// else.
func TestRunResend(t *testing.T) {
	for _, tt := range []struct {
		name, verb, reply string
		again             bool
	}{
		{"MAIL", "MAIL", "450 4.2.1 later", true},
		{"MAIL 421", "MAIL", "421 4.3.2 going", true},
		{"closed at MAIL", "MAIL", "close", true},
		{"AUTH", "AUTH", "454 4.7.0 later", true},
		{"closed at DATA", "DATA", "close", true},
		{"MAIL for good", "MAIL", "550 5.7.1 never", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			s := startServer(t, &testServer{override: func(line string) string {
				if strings.HasPrefix(line, tt.verb) && n.Add(1) == 2 {
					return tt.reply
				}
				return ""
			}})
			rep, code, _ := runLoad(t, s, "--messages", "3", "-c", "1", "-m", "1", "--resend", "1m", "--sandbox", s.url)
			if p := rep.Total; tt.again != (code == 0 && p.Accepted == 3 && p.Failed() == 0) {
				t.Errorf("exit code %d, %+v", code, p)
			}
			if tt.again != (len(rep.Resent) == 1 && rep.Resent[0].Count == 1) || !rep.Proof.Holds {
				t.Errorf("sent again after %+v; %+v", rep.Resent, rep.Proof)
			}
		})
	}
}

// TestRunResendUnknown: a message whose end was sent is never sent again by the loader, which
// could not tell two copies from a fault.
func TestRunResendUnknown(t *testing.T) {
	s := startServer(t, &testServer{atEnd: func(n int) string {
		if n == 0 {
			return "close"
		}
		return ""
	}})
	rep, _, _ := runLoad(t, s, "--messages", "3", "-c", "1", "--resend", "1m", "--sandbox", s.url)
	if rep.Total.Accepted != 2 || rep.Total.Unknown != 1 || rep.Resent != nil {
		t.Errorf("%+v, %+v", rep.Total, rep.Resent)
	}
}

// TestRunPartial checks a message of which one recipient is refused.
func TestRunPartial(t *testing.T) {
	n := 0
	s := startServer(t, &testServer{keywords: []string{"PIPELINING"}, override: func(line string) string {
		if strings.HasPrefix(line, "RCPT TO:<recipient2@") {
			if n++; n == 1 {
				return "550 5.1.1 who"
			}
		}
		return ""
	}})
	rep, code, _ := runLoad(t, s, "--messages", "5", "-c", "1", "--recipients", "3")
	if code != exitOK || rep.Total.Accepted != 5 || rep.Total.RefusedRcpts != 1 {
		t.Errorf("exit code %d, total = %+v", code, rep.Total)
	}
}

// TestRunProofFails checks that each breach of what the server promised is
// found.
func TestRunProofFails(t *testing.T) {
	one := func(change func(testDelivery) []testDelivery) func(int, testDelivery) []testDelivery {
		return func(number int, d testDelivery) []testDelivery {
			if number == 5 {
				return change(d)
			}
			return []testDelivery{d}
		}
	}
	alter := func(d testDelivery, at int) []testDelivery {
		d.content = bytes.Clone(d.content)
		d.content[at] ^= 1
		return []testDelivery{d}
	}
	for _, tt := range []struct {
		name   string
		tamper func(testDelivery) []testDelivery
		want   report.Proof
		hashes bool
	}{
		{name: "lost", tamper: func(testDelivery) []testDelivery { return nil }, want: report.Proof{Missing: 1}},
		{name: "twice", tamper: func(d testDelivery) []testDelivery { return []testDelivery{d, d} }, want: report.Proof{Duplicated: 1}},
		{name: "body altered", tamper: func(d testDelivery) []testDelivery { return alter(d, 1000) }, want: report.Proof{Altered: 1}},
		{name: "header altered", tamper: func(d testDelivery) []testDelivery { return alter(d, 10) }, want: report.Proof{Altered: 1}, hashes: true},
		{name: "other account", tamper: func(d testDelivery) []testDelivery { d.account = "user9@gmail.com"; return []testDelivery{d} },
			want: report.Proof{Misattributed: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, &testServer{keywords: []string{"PIPELINING", "CHUNKING"}, tamper: one(tt.tamper)})
			args := []string{"--messages", "20", "--sandbox", s.url}
			if tt.hashes {
				args = append(args, "--hashes")
			}
			rep, code, _ := runLoad(t, s, args...)
			p := rep.Proof
			if code != exitFailed || p.Holds || p.Missing != tt.want.Missing || p.Duplicated != tt.want.Duplicated ||
				p.Altered != tt.want.Altered || p.Misattributed != tt.want.Misattributed {
				t.Errorf("exit code %d, proof = %+v, want %+v", code, p, tt.want)
			}
		})
	}
}

// TestRunEnd checks the replies to the end of the content, and that a lost one
// is counted as neither yes nor no.
func TestRunEnd(t *testing.T) {
	for _, keywords := range [][]string{nil, {"PIPELINING"}, {"PIPELINING", "CHUNKING"}} {
		s := startServer(t, &testServer{keywords: keywords, atEnd: func(number int) string {
			return map[int]string{2: "452 4.3.1 full", 4: "close", 6: "554 5.6.0 no"}[number]
		}})
		rep, code, _ := runLoad(t, s, "--messages", "10", "-c", "1", "--sandbox", s.url)
		p := rep.Total
		if code != exitFailed || p.Accepted != 7 || p.Refused != 2 || p.Unknown != 1 || p.Broken != 0 {
			t.Errorf("%v: exit code %d, total = %+v", keywords, code, p)
		}
		if !rep.Proof.Holds || rep.Proof.Delivered != 7 {
			t.Errorf("%v: proof = %+v", keywords, rep.Proof)
		}
	}
}

// TestCompare checks what was delivered without having been acknowledged.
func TestCompare(t *testing.T) {
	p := &prover{journal: newJournal(3), logins: []string{"a"}}
	p.journal.set(0, 0, fateAccepted)
	p.journal.set(1, 0, fateRefused)
	p.journal.set(2, 0, fateUnknown)
	p.compare(&ledger{Delivered: []window{{0, 2}, {7, 7}}})
	if v := p.proof; v.Acknowledged != 1 || v.Unacknowledged != 2 || v.Uncertain != 1 || v.Delivered != 4 {
		t.Errorf("proof = %+v", v)
	}
}

func TestRunUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.json")
	if err := os.WriteFile(file, []byte(`{"accounts":[{"email":"a@example.com"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ args, want string }{
		{"--target 192.0.2.1:25", "loopback"},
		{"--target smtp.example.com:587", "loopback"},
		{"--sandbox http://192.0.2.1/", "loopback"},
		{"--proxy-metrics http://192.0.2.1/metrics", "loopback"},
		{"--rate 0", "not a rate"},
		{"--rate 1k --steps 1k", "together"},
		{"--rate 1k --messages 5", "--duration"},
		{"--ramp 5s", "--rate"},
		{"--size 1", "message size"},
		{"--pipelining maybe", "auto, on, off"},
		{"--connections 0", "--connections"},
		{"--hashes", "--sandbox"},
		{"--dry-run", "--proxy-metrics"},
		{"--dry-run --proxy-metrics http://127.0.0.1:1/ --sandbox http://127.0.0.1:1", "nothing is delivered"},
		{"--skew 0.5", "--skew"},
		{"--login nobody --accounts 2", "%d"},
		{"--accounts 2 --accounts-file " + file, "has 1 accounts"},
		{"--accounts-file /nonexistent/accounts.json", "no such file"},
		{"--ca-file x", "--tls"},
		{"--tls starttls --ca-file /nonexistent/ca.pem", "no such file"},
		{"--no-such-flag", "unknown flag"},
		{"argument", "unexpected"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(tt.args), &stdout, &stderr)
		if code != exitUsage || strings.Count(stderr.String(), "\n") != 1 || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q", tt.args, code, stderr.String())
		}
	}
	var stdout bytes.Buffer
	if code := run(context.Background(), []string{"--help"}, &stdout, &stdout); code != exitOK || !strings.Contains(stdout.String(), "--rate") {
		t.Errorf("--help: exit code %d, %s", code, stdout.String())
	}
}

// TestRunNoServer: one line and exit code 1.
func TestRunNoServer(t *testing.T) {
	s := startServer(t, &testServer{override: func(line string) string {
		if strings.HasPrefix(line, "AUTH") {
			return "535 5.7.8 no"
		}
		return ""
	}})
	_, code, stderr := runLoad(t, s, "--messages", "5")
	if code != exitFailed || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "535") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
