package carry

import (
	"net/netip"
	"time"
)

// Wire says which connection to a provider it is. It does not change.
type Wire struct {
	Number        uint64 // in this process, from 1
	Local, Remote netip.AddrPort
	Upstream      string // the endpoint, "host:port"
}

// Passage is how a transaction has gone.
type Passage struct {
	// Wire is the last connection that began to send it, nil: none has. Attempts is how
	// many have.
	Wire     *Wire
	Attempts int
	// Began is when that connection began, Left when the last octet of the content had
	// left, Done when the result came. Zero: it did not come to that.
	Began, Left, Done time.Time
}

// begin notes that the connection begins to send.
func (p *Passage) begin(w *Wire, now time.Time) {
	p.Wire, p.Began, p.Left = w, now, time.Time{}
	p.Attempts++
}
