package journal

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/codec"
)

var anna = Client{Session: 7, Remote: "192.0.2.1:99", Account: "gmail", Email: "anna@gmail.test"}

func newJournal(t *testing.T) (*Journal, *observer.ObservedLogs, *atomic.Int64) {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	dropped := new(atomic.Int64)
	return New(zap.New(core), func() { dropped.Add(1) }), logs, dropped
}

// TestRefusalsAreBounded: a flood of refusals of one kind leaves few lines, which account for
// all of them, and does not hide those of another kind.
func TestRefusalsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, logs, dropped := newJournal(t)
		j.Start()
		refuse := func(kind string, n int) {
			for range n {
				j.Refused(anna, kind, "no")
				synctest.Wait()
			}
		}
		account := func(kind string) (lines, all int) {
			for _, e := range logs.FilterMessage(kind).All() {
				lines++
				if e.ContextMap()["reason"] != nil {
					all++
				}
				if n, ok := e.ContextMap()["left_out"]; ok {
					all += int(n.(int64))
				}
			}
			return lines, all
		}
		refuse("a", 1000)
		refuse("b", 3)
		if lines, _ := account("a"); lines != perWindow {
			t.Errorf("%d lines at once, want %d", lines, perWindow)
		}
		if lines, all := account("b"); lines != 3 || all != 3 {
			t.Errorf("%d lines of another kind for %d refusals, want 3", lines, all)
		}
		time.Sleep(window + time.Second)
		if lines, all := account("a"); lines != perWindow+1 || all != 1000 {
			t.Errorf("after the time: %d lines account for %d refusals, want 1000", lines, all)
		}
		refuse("a", 200)
		j.Close()
		if lines, all := account("a"); lines != 2*perWindow+2 || all != 1200 {
			t.Errorf("at the end: %d lines account for %d refusals, want 1200", lines, all)
		}
		if dropped.Load() != 0 {
			t.Errorf("%d lines were dropped", dropped.Load())
		}
	})
}

// TestLinesWithoutRoomAreCounted: who logs never waits, even if nothing is written.
func TestLinesWithoutRoomAreCounted(t *testing.T) {
	j, logs, dropped := newJournal(t)
	for i := range ringSize + 100 {
		j.Outcome(anna, codec.Reply{Code: 250, Text: fmt.Sprint("taken ", i)}, 1, 2)
	}
	if dropped.Load() != 100 {
		t.Errorf("%d lines were dropped, want 100", dropped.Load())
	}
	j.Start()
	j.Close()
	if n := logs.Len(); n != ringSize {
		t.Errorf("%d lines were written, want %d", n, ringSize)
	}
}

// TestReplies: which replies of ours get a line, and what it says.
func TestReplies(t *testing.T) {
	tests := []struct {
		reply codec.Reply
		line  string // "": none
	}{
		{codec.ReplyOK, ""}, {codec.ReplyStartData, ""}, {codec.ReplyUnknownVerb, ""}, {codec.ReplyBadArgs, ""}, {codec.ReplyAuthFailed, ""},
		{codec.ReplyShutdown, ""},
		{codec.ReplyTimeout, "client refused with 421"}, {codec.ReplyNoStorage, "client refused with 452"},
		{codec.ReplyUnknownMechanism, "client refused with 504"}, {codec.ReplyAuthRequired, "client refused with 530"},
		{codec.ReplyTooBig, "client refused with 552"}, {codec.ReplyBareLF, "client refused with 554"},
	}
	for _, tt := range tests {
		j, logs, _ := newJournal(t)
		j.Start()
		j.Reply(anna, tt.reply)
		j.Close()
		if tt.line == "" {
			if logs.Len() > 0 {
				t.Errorf("%v has a line", tt.reply)
			}
			continue
		}
		if logs.Len() != 1 || logs.All()[0].Message != tt.line {
			t.Errorf("%v: %+v", tt.reply, logs.All())
			continue
		}
		if got := fmt.Sprint(logs.All()[0].ContextMap()); !strings.Contains(got, "remote:192.0.2.1:99") || !strings.Contains(got, "account:gmail") ||
			!strings.Contains(got, "email:anna@gmail.test") || !strings.Contains(got, "reason:"+tt.reply.Text) ||
			!strings.Contains(got, "hint_id:"+tt.reply.Hint.String()) || !strings.Contains(got, "hint:"+tt.reply.Hint.Remedy()) || strings.Contains(got, "user:") {
			t.Errorf("%v: the line has %s", tt.reply, got)
		}
	}
}

func TestMessages(t *testing.T) {
	for m, want := range map[Messages][2]bool{All: {true, true}, Failed: {false, true}, None: {false, false}} {
		if got := [2]bool{m.Wants(true), m.Wants(false)}; got != want || !m.Valid() {
			t.Errorf("%s: accepted and not: %v", m, got)
		}
	}
	if Messages("").Valid() {
		t.Error("nothing is valid")
	}
}
