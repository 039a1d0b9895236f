package accounting

import (
	"net/netip"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

const (
	// maxRecords and maxText bound a buffer: records, and octets of their texts.
	maxRecords, maxText = 16384, 4 << 20
	// maxField bounds each text of a record, in octets. Those from clients and providers
	// are shorter.
	maxField = 8 << 10
)

// Texts of a record, in the order of their place in the buffer.
const (
	textFrom = iota
	textRcpt
	textORcpt
	textEnvID
	textMessageID
	textReply
	textListener
	textUpstream
	textPhase
	textClass
	numTexts
)

// entry is a record in a buffer. It has no pointers, so that a full buffer costs the
// garbage collector nothing. Times are nanoseconds since 1970, 0 for none.
type entry struct {
	seq                       uint64
	queued, began, left, done int64
	session, connection       uint64
	size                      int64
	client, local, remote     address
	text                      uint32           // where its texts begin
	lengths                   [numTexts]uint16 // of its texts
	attempts                  int32
	code                      int16
	hint                      uint16
	enhanced                  codec.EnhancedCode
	kind                      Kind
	byProvider, maybeAccepted bool
	late                      bool
}

// address is a netip.AddrPort without its pointer.
type address struct {
	ip   [16]byte
	port uint16
	bits uint8 // 0: invalid
}

func addressOf(a netip.Addr, port uint16) address {
	if !a.IsValid() {
		return address{}
	}
	return address{a.As16(), port, uint8(a.BitLen())}
}

// addr returns the IP address; invalid if there is none.
func (a *address) addr() netip.Addr {
	switch a.bits {
	case 0:
		return netip.Addr{}
	case 32:
		return netip.AddrFrom16(a.ip).Unmap()
	}
	return netip.AddrFrom16(a.ip)
}

// batch is a buffer of records.
type batch struct {
	entries  []entry
	accounts []*account.Account // of entries
	text     []byte
	dropped  gap // records after entries that found no room
}

func newBatch() *batch {
	return &batch{entries: make([]entry, 0, maxRecords), accounts: make([]*account.Account, 0, maxRecords),
		text: make([]byte, 0, maxText)}
}

// empty reports whether there is nothing to write.
func (b *batch) empty() bool { return len(b.entries) == 0 && b.dropped.count == 0 }

// reset empties b, and forgets the accounts.
func (b *batch) reset() {
	clear(b.accounts)
	b.entries, b.accounts, b.text, b.dropped = b.entries[:0], b.accounts[:0], b.text[:0], gap{}
}

// gap is numbers of records that are not written.
type gap struct {
	first, last, count uint64
	why                string
}

// add adds count records, the numbers of which are in first to last and after those of g.
func (g *gap) add(first, last, count uint64, why string) {
	if count == 0 {
		return
	}
	if g.count == 0 {
		g.first = first
	}
	g.last, g.why = last, why
	g.count += count
}

// put copies r, and reports false if it finds no room.
func (b *batch) put(r *Record, seq uint64) bool {
	n := len(b.entries)
	if n == cap(b.entries) {
		return false
	}
	texts := [numTexts]int{len(r.From), len(r.Rcpt), len(r.ORcpt), len(r.EnvID), len(r.MessageID),
		len(r.Reply.Text), len(r.Listener), len(r.Upstream), len(r.Phase), len(r.Class)}
	total := 0
	for i, l := range texts {
		texts[i] = min(l, maxField)
		total += texts[i]
	}
	if len(b.text)+total > cap(b.text) {
		return false
	}
	b.entries = b.entries[:n+1]
	e := &b.entries[n]
	e.seq, e.kind, e.text = seq, r.Kind, uint32(len(b.text))
	e.queued, e.began, e.left, e.done = nanos(r.Queued), nanos(r.Began), nanos(r.Left), nanos(r.Done)
	e.session, e.connection, e.size, e.attempts = r.Session, r.Connection, r.Size, int32(r.Attempts)
	e.client = addressOf(r.Client, 0)
	e.local, e.remote = addressOf(r.Local.Addr(), r.Local.Port()), addressOf(r.Remote.Addr(), r.Remote.Port())
	e.code, e.enhanced, e.hint = int16(r.Reply.Code), r.Reply.Enhanced, uint16(r.Reply.Hint)
	e.byProvider, e.maybeAccepted, e.late = r.ByProvider, r.MaybeAccepted, r.Late
	for i, l := range texts {
		e.lengths[i] = uint16(l)
	}
	b.accounts = append(b.accounts, r.Account)
	b.text = append(b.text, r.From[:texts[textFrom]]...)
	b.text = append(b.text, r.Rcpt[:texts[textRcpt]]...)
	b.text = append(b.text, r.ORcpt[:texts[textORcpt]]...)
	b.text = append(b.text, r.EnvID[:texts[textEnvID]]...)
	b.text = append(b.text, r.MessageID[:texts[textMessageID]]...)
	b.text = append(b.text, r.Reply.Text[:texts[textReply]]...)
	b.text = append(b.text, r.Listener[:texts[textListener]]...)
	b.text = append(b.text, r.Upstream[:texts[textUpstream]]...)
	b.text = append(b.text, r.Phase[:texts[textPhase]]...)
	b.text = append(b.text, r.Class[:texts[textClass]]...)
	return true
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// row is what one line of a file is made of: a record, or one about the log itself, which
// has no entry.
type row struct {
	kind Kind
	at   int64 // logged
	*entry
	account *account.Account
	texts   [numTexts][]byte
	about   *about // nil: a record about a recipient
}

// about is what a record about the log says.
type about struct {
	process     string // another process than the one that writes
	first, last uint64
	count       uint64
	unknown     bool // count is not known
	why         string
}

// at makes w the row of a record of b.
func (b *batch) at(i int, w *row) {
	e := &b.entries[i]
	w.kind, w.at, w.entry, w.account = e.kind, e.done, e, b.accounts[i]
	if w.at == 0 {
		w.at = e.queued
	}
	from := int(e.text)
	for k, l := range e.lengths {
		to := from + int(l)
		w.texts[k] = b.text[from:to:to]
		from = to
	}
}
