package upstream

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// bdatContents are contents that a server which does not know BDAT takes for commands.
// accepted: it accepts one of them.
var bdatContents = []struct {
	name, text string
	accepted   bool
}{
	{"text", "Subject: hello\r\n\r\n.hello\r\n", false},
	{"commands that are refused", "MAIL\r\nRCPT TO\r\nAUTH XOAUTH2 eA==\r\nEHLO\r\n", false},
	{"NOOP", "NOOP\r\n", true},
	{"RSET", "Subject: x\r\nRSET\r\n", true},
	{"a message", "RSET\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<other@x.test>\r\nNOOP\r\n", true},
}

// TestBDATDoesNotWork: a provider that announces CHUNKING and refuses BDAT costs no
// message: it goes by DATA over a fresh connection, unless the provider has accepted
// something after the refusal. RSET is not sent. Later messages go by DATA at once.
func TestBDATDoesNotWork(t *testing.T) {
	for _, reply := range []string{"500 5.5.2 what", "502 5.5.1 not implemented", "503 5.5.1 bad sequence", "504 5.5.4 no", "552 5.3.4 too big", "502 no"} {
		for _, offer := range [][]string{offerBDAT, {"SIZE 35882577", "8BITMIME", "AUTH XOAUTH2", "CHUNKING"}} {
			for _, rcpts := range []int{1, 2} {
				for _, body := range bdatContents {
					t.Run(fmt.Sprintf("%s/%d keywords/%d/%s", reply, len(offer), rcpts, body.name), func(t *testing.T) {
						t.Parallel()
						f := newFixture(t, func(s *setup) { s.keywords = offer })
						provider.Faults(f.t, f.box, sandbox.Rule{Name: "bdat", Phase: sandbox.PhaseCommand, Verb: "BDAT", Action: sandbox.ActionReply, Reply: reply})
						send := func() codec.Reply {
							if rcpts == 2 {
								return f.toBoth(f.accounts[0], body.text)
							}
							return f.send(f.accounts[0], "to@x.test", body.text).Reply
						}
						told, taken := send(), 1
						if body.accepted && reply[:3] != "503" && reply[:3] != "552" { // the sandbox has swallowed the content with these
							if taken = 0; told.Code != 451 || code(told) != "451 4.5.0" {
								t.Errorf("told %v, though the provider has accepted a part of the content", told)
							}
						} else if told.Code != 250 {
							t.Errorf("told %v", told)
						}
						provider.Messages(f.t, f.box, taken)
						if slices.Contains(f.commands(), "RSET") != (taken == 0 && body.name != "NOOP") { // from the content
							t.Errorf("commands %v", f.commands())
						}
						for i := range 3 {
							if told := send(); told.Code != 250 {
								t.Errorf("message %d is told %v", i, told)
							}
						}
						f.sendOK(f.accounts[1], "another account\r\n")
						for _, m := range provider.Messages(f.t, f.box, taken+4)[:taken+3] {
							if string(m.Body) != body.text || m.Verb != "DATA" {
								t.Errorf("by %s came %q", m.Verb, m.Body)
							}
						}
						if n := f.box.Fired("bdat"); n != 1 {
							t.Errorf("%d times BDAT", n)
						}
						if n := f.metric(`upstream_throttle_events_total{action="concurrency"}`); n != "0" {
							t.Errorf("throttled %s times", n)
						}
					})
				}
			}
		}
	}
}

// TestBDATIsNotAnswered: the message may have been taken, and is not sent again. Later
// messages go by DATA.
func TestBDATIsNotAnswered(t *testing.T) {
	for _, offer := range [][]string{offerBDAT, offerChunking} {
		for _, rcpts := range []int{1, 2} {
			t.Run(fmt.Sprintf("%d keywords/%d", len(offer), rcpts), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, func(s *setup) {
					s.keywords, s.relay.FinalTimeout, s.relay.CommandTimeout = offer, time.Second, time.Second
				})
				provider.Faults(f.t, f.box, sandbox.Rule{Name: "bdat", Phase: sandbox.PhaseCommand, Verb: "BDAT", Action: sandbox.ActionIgnore})
				var told codec.Reply
				if rcpts == 2 {
					told = f.toBoth(f.accounts[0], "a\r\n")
				} else {
					res := f.send(f.accounts[0], "to@x.test", "a\r\n")
					if told = res.Reply; !res.Err.MaybeAccepted() {
						t.Errorf("error %v", res.Err)
					}
				}
				if code(told) != "451 4.4.2" {
					t.Errorf("told %v", told)
				}
				provider.Messages(f.t, f.box, 0)
				f.sendOK(f.accounts[0], "b\r\n")
				f.sendOK(f.accounts[1], "c\r\n")
				for _, m := range provider.Messages(f.t, f.box, 2) {
					if m.Verb != "DATA" {
						t.Errorf("%q came by %s", m.Body, m.Verb)
					}
				}
				if n := f.box.Fired("bdat"); n != 1 {
					t.Errorf("%d times BDAT", n)
				}
			})
		}
	}
}

// TestBinaryAfterSilence: content with BINARYMIME can go by BDAT only, and so it does though
// a BDAT was not answered. If the provider takes it, BDAT works.
func TestBinaryAfterSilence(t *testing.T) {
	f := newFixture(t, func(s *setup) {
		s.keywords, s.relay.FinalTimeout = append(slices.Clone(offerBDAT), "BINARYMIME"), time.Second
	})
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseCommand, Verb: "BDAT", Action: sandbox.ActionIgnore, Times: 1})
	if res := f.send(f.accounts[0], "to@x.test", "a\r\n"); code(res.Reply) != "451 4.4.2" {
		t.Errorf("told %v", res.Reply)
	}
	f.sendOK(f.accounts[0], "b\r\n")
	tx, c := f.message(f.accounts[0], "to@x.test", "c\nd\x00")
	tx.Mail.Body = codec.BodyBinaryMIME
	if res := f.submit(tx, c); res.Reply.Code != 250 {
		t.Errorf("told %v", res.Reply)
	}
	f.sendOK(f.accounts[0], "e\r\n")
	var verbs []string
	for _, m := range provider.Messages(f.t, f.box, 3) {
		verbs = append(verbs, m.Verb)
	}
	if want := []string{"DATA", "BDAT", "BDAT"}; !slices.Equal(verbs, want) {
		t.Errorf("the messages came by %q, want %q", verbs, want)
	}
}

// TestSilenceBeforeBDAT: a provider that answers nothing, not even MAIL, says nothing of
// BDAT.
func TestSilenceBeforeBDAT(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.FinalTimeout, s.relay.CommandTimeout = time.Second, time.Second })
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionStall, Times: 1})
	if res := f.send(f.accounts[0], "to@x.test", "a\r\n"); res.Reply.Code != 451 {
		t.Errorf("told %v", res.Reply)
	}
	f.sendOK(f.accounts[0], "b\r\n")
	if m := provider.Messages(f.t, f.box, 1)[0]; m.Verb != "BDAT" {
		t.Errorf("the next message came by %s", m.Verb)
	}
}

// TestBinaryWithoutBDAT: content without lines cannot go by DATA.
func TestBinaryWithoutBDAT(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.keywords = append(slices.Clone(offerBDAT), "BINARYMIME") })
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseCommand, Verb: "BDAT", Action: sandbox.ActionReply, Reply: "502 5.5.1 what"})
	tx, c := f.message(f.accounts[0], "to@x.test", "a\nb\x00")
	tx.Mail.Body = codec.BodyBinaryMIME
	if res := f.submit(tx, c); code(res.Reply) != "554 5.6.3" {
		t.Errorf("told %v", res.Reply)
	}
	provider.Messages(f.t, f.box, 0)
}
