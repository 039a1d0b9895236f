package report

import (
	"time"

	"xoauth2-proxy/internal/accounting/reading"
)

// times are what spreads are of.
var times = [...]reading.Field{reading.WaitMs, reading.SendMs, reading.AnswerMs, reading.TotalMs}

const numTimes = len(times)

// TimeNames names them: until a connection began to send, from there until the last octet had
// left, from there until the verdict, and all together.
var TimeNames = [numTimes]string{"wait", "send", "answer", "total"}

// Group is what a Tally has counted of the records that are alike in its keys.
type Group struct {
	Values []string // of the keys
	Counts
	spreads *[numTimes]spread
}

// Counts is what is counted.
type Counts struct {
	// Recipients by what became of them. An envelope that was refused at MAIL counts as one.
	Delivered, Refused, Deferred uint64
	// Messages is how many were delivered to at least one recipient, Octets their size.
	Messages, Octets uint64
	// MaybeAccepted is how many of those that are not delivered the provider may have taken. Late
	// is how many outcomes the client was not told: it had gone, or was told before that
	// nothing is known.
	MaybeAccepted, Late uint64
}

// Recipients is how many outcomes there are.
func (c *Counts) Recipients() uint64 { return c.Delivered + c.Refused + c.Deferred }

// Percentile returns the time of a name of TimeNames that p of 100 recipients do not exceed.
func (g *Group) Percentile(i int, p uint64) time.Duration { return g.spreads[i].percentile(p) }

// add counts a record. message: it is the first one of a delivered message.
func (g *Group) add(kind string, w *reading.Row, message bool) {
	switch kind {
	case "d":
		g.Delivered++
	case "b":
		g.Refused++
	case "t":
		g.Deferred++
	}
	if message {
		g.Messages++
		g.Octets += w.Number(reading.Size)
	}
	if w.Get(reading.MaybeAccepted) == "true" {
		g.MaybeAccepted++
	}
	if w.Get(reading.Late) == "true" {
		g.Late++
	}
	if g.spreads == nil {
		return
	}
	for i, f := range times {
		if d, ok := w.Millis(f); ok {
			g.spreads[i].add(d)
		}
	}
}
