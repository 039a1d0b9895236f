//go:build !race

package main

import (
	"net"
	"testing"
	"time"
)

// discard is a connection that takes all and answers each write with the same
// reply, over and over.
type discard struct {
	net.Conn
	reply []byte
}

func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) Read(p []byte) (int, error)  { return copy(p, d.reply), nil }
func (d *discard) SetDeadline(time.Time) error { return nil }

// TestNoAllocation: a message that is accepted costs no allocation from the
// ticket to the journal.
func TestNoAllocation(t *testing.T) {
	for name, s := range map[string]*session{
		"one flight":   {pipelining: true, chunking: true},
		"pipelined":    {pipelining: true},
		"step by step": {},
	} {
		// All reads give the replies of a whole message in the order in which
		// they are wanted: MAIL, RCPT, (DATA), end of data.
		replies := "250 2.1.0 ok\r\n250 2.1.5 ok\r\n354 go\r\n250 2.0.0 ok\r\n"
		if s.chunking {
			replies = "250 2.1.0 ok\r\n250 2.1.5 ok\r\n250 2.0.0 ok\r\n"
		}
		s.dialogue = &dialogue{rcpts: 1, timeout: time.Minute}
		s.conn = &discard{reply: []byte(replies)}
		s.renderEnvelope("user1@gmail.com")
		const runs = 200
		w := &worker{session: s, id: newID("0123abcd"), recorder: newRecorder(1, 1), journal: newJournal(runs + 1),
			mix: sizeMix{{size: 10 << 10, weight: 1}}.build("0123abcd")}
		seq := 0
		allocs := testing.AllocsPerRun(runs, func() {
			s.idleSince = time.Now()
			w.message(t.Context(), ticket{seq: seq, due: time.Now()})
			seq++
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a message", name, allocs)
		}
		if n := w.journal.count()[fateAccepted]; n != runs+1 {
			t.Errorf("%s: %d of %d messages accepted", name, n, runs+1)
		}
	}
}
