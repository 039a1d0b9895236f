package carry

import (
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/tenant"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Completer is told how a transaction goes. Its methods are called on a loop, on
// another goroutine or from inside TrySubmit, and must only post: they may not block
// and may not call back into the relay. on is the loop that the call is made on, nil:
// on none.
type Completer interface {
	// RecipientsReplied gives tx back to the session: every recipient now has
	// its Reply. The session goes on with Continue or Release, unless tx.Over
	// tells that the upstream part of the transaction is over.
	RecipientsReplied(tx *Transaction, on *loop.Loop)
	// Complete gives tx back to the session for good, with its Result.
	Complete(tx *Transaction, on *loop.Loop)
	// Late tells the provider's verdict on a message, in the Result of tx, after EndWait
	// has given the session another answer. tx is lent to the session, which may not even
	// be there any more.
	Late(tx *Transaction)
}

// Recipient is one forward-path of a transaction.
type Recipient = smtpclient.Recipient

// Transaction is an envelope with or without its content, on its way through
// the relay. Get one with GetTransaction; who owns it calls Release at the end.
type Transaction struct {
	// Account is the one that the client logged in to. The relay has another one in its place
	// if a reload gives it another mailbox while the message waits; see MoveTo.
	Account *account.Account
	// Mail is the reverse-path with its parameters; see SetMail.
	Mail codec.MailArgs
	// Rcpts are the recipients; see AddRcpt.
	Rcpts []Recipient
	// FirstAnswered is true if the client was told 250 for Rcpts[0] before the
	// upstream was asked. If that one is refused, the whole transaction is.
	FirstAnswered bool
	// Content is the message, or nil while it is not there yet. It belongs to
	// the transaction: Release releases it.
	Content *codec.Content
	// Done is told how the transaction goes.
	Done Completer
	// Result is the end of the transaction, from Complete on.
	Result Result
	// Passage is how it went, for who owns the transaction.
	Passage Passage
	// MessageID is that of the content; see SetMessageID.
	MessageID []byte
	// SID is the session's id, for the log.
	SID uint64
	// Loop is the one that TrySubmit and Continue are called on. A connection that is
	// opened for the transaction is served there.
	Loop *loop.Loop

	// Place is the relay's own.
	Place Place

	arena    []byte       // holds the bytes that Mail and Rcpts point to
	next     *Transaction // in a Queue
	deadline time.Time    // its answer is due
	retried  bool         // one connection failed it already
	wornAt   int          // messages that this one had carried, if it had done its share
	admitted int          // the first recipients, which are to be sent or were refused
	placed   int          // those of them that have a place
	limited  *codec.Reply // the answer to all recipients after those
	// limitedBy is the class of that answer.
	limitedBy string

	tenant   *tenant.Tenant // of Account; nil: it has no limit
	external tenant.Places  // of the recipients outside the tenant
	seated   int            // those that admit has given one, of the exchange

	relay *Relay           // of the last Submit
	as    *account.Account // Account then: EndWait may not look at Account
	pool  atomic.Value     // the Pool where it waits, or has waited
	claim atomic.Uint32    // who answers it: a claim constant
	known Result           // with claimKnown: the answer
	size  int64            // of the content, in a copy, which has none

	told  bool           // the session has been given replies of recipients
	noted int            // recipients whose replies have been noted, the first ones
	held  *Conn          // what may hold it open while the session has it; see hold.go
	over  *failure.Error // why its upstream part is over; nil: it is not

	abandoned atomic.Bool // see Abandon
}

// Place is what the pool knows of a transaction.
type Place struct {
	Submitted time.Time    // when the relay took it
	Meter     *limit.Meter // the one that it has a place in, if any
	Taken     int          // places for recipients that it has there
	Probe     bool         // it tries whether the provider still refuses a held account
}

// Places is how many places within the limits of the account tx needs, for the recipients
// that are known.
func (tx *Transaction) Places() int {
	if most := tx.Account.Limits.MaxRecipients; most > 0 {
		return min(len(tx.Rcpts), most)
	}
	return len(tx.Rcpts)
}

var transactions = sync.Pool{New: func() any { return new(Transaction) }}

// GetTransaction returns an empty transaction, owned by the caller.
func GetTransaction() *Transaction { return transactions.Get().(*Transaction) }

// Release ends the transaction and its content; tx must not be used after it.
// Releasing a transaction that is open upstream, which is with the session, aborts it
// there.
func (tx *Transaction) Release() {
	if c := tx.held; c != nil && c.Loop.Post((*abortion)(tx)) {
		return
	}
	tx.release()
}

// Abandon has the relay answer tx without sending it, if nothing of it has left
// yet. It is for the session, which need not own tx, until tx comes back.
func (tx *Transaction) Abandon() { tx.abandoned.Store(true) }

// Abandoned reports whether Abandon was called.
func (tx *Transaction) Abandoned() bool { return tx.abandoned.Load() }

// release puts tx back into the pool.
func (tx *Transaction) release() {
	tx.external.Leave(0)
	if tx.Content != nil {
		tx.Content.Release()
	}
	clear(tx.Rcpts)
	rcpts, arena := tx.Rcpts[:0], tx.arena[:0]
	if cap(rcpts) > maxPooledRcpts {
		rcpts = nil
	}
	if cap(arena) > maxPooledArena {
		arena = nil
	}
	*tx = Transaction{Rcpts: rcpts, arena: arena}
	transactions.Put(tx)
}

// What a pooled transaction may keep, so that one with a thousand recipients
// does not weigh on all that follow.
const (
	maxPooledRcpts = 32
	maxPooledArena = 8 << 10
)

// SetMail sets the reverse-path and its parameters, copying the bytes.
func (tx *Transaction) SetMail(m codec.MailArgs) {
	m.Path, m.EnvID = tx.keep(m.Path), tx.keep(m.EnvID)
	tx.Mail = m
}

// AddRcpt adds a recipient, copying the bytes.
func (tx *Transaction) AddRcpt(a codec.RcptArgs) {
	a.Path, a.ORcpt = tx.keep(a.Path), tx.keep(a.ORcpt)
	tx.Rcpts = append(tx.Rcpts, Recipient{Args: a})
}

// SetMessageID sets the Message-ID, copying the bytes.
func (tx *Transaction) SetMessageID(id []byte) { tx.MessageID = tx.keep(id) }

// Size is that of the content in octets, also when its memory has been given back; 0
// without content.
func (tx *Transaction) Size() int64 {
	if tx.Content == nil {
		return tx.size
	}
	return tx.Content.Size()
}

// Copy returns the envelope as the session knows it, without content and apart from the
// relay. It belongs to the caller, and is good for Release alone. The session need not
// own tx, if that has not come back yet.
func (tx *Transaction) Copy() *Transaction {
	c := GetTransaction()
	if c.Account = tx.as; c.Account == nil { // it was never submitted
		c.Account = tx.Account
	}
	c.SID, c.size = tx.SID, tx.Size()
	c.SetMail(codec.MailArgs{Path: tx.Mail.Path, EnvID: tx.Mail.EnvID, Body: tx.Mail.Body})
	c.SetMessageID(tx.MessageID)
	for i := range tx.Rcpts {
		c.AddRcpt(tx.Rcpts[i].Args)
		c.Rcpts[i].Told = tx.Rcpts[i].Told
	}
	return c
}

// keep copies b into the arena. When that grows, what was kept before stays
// where it was, so earlier results remain valid.
func (tx *Transaction) keep(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	n := len(tx.arena)
	tx.arena = append(tx.arena, b...)
	return tx.arena[n:len(tx.arena):len(tx.arena)]
}

// Result is the end of a transaction.
type Result struct {
	// Reply is what the client is to be told; always set.
	Reply codec.Reply
	// Err is nil when the upstream accepted the message.
	Err *failure.Error
	// Phase is how far the transaction came.
	Phase throttle.Phase
	// Upstream is the provider's endpoint, "host:port".
	Upstream string
	// Own: Reply is ours though Err is nil, since nothing was sent (Config.DryRun).
	Own bool
}

// ByProvider reports whether Reply is the provider's verdict.
func (res *Result) ByProvider() bool {
	if res.Err != nil {
		return res.Err.ByProvider()
	}
	return !res.Own
}

// Refusal returns what to note of a recipient that is refused with the result.
func (res *Result) refusal() smtpclient.Refusal {
	return smtpclient.Refusal{Phase: res.Phase, Own: !res.ByProvider(), Class: failure.ClassOf(res.Err)}
}

// Failed is the result of a transaction that failed at the endpoint peer.
func Failed(err *failure.Error, peer string) Result {
	return Result{Reply: err.ClientReply(), Err: err, Phase: err.Phase, Upstream: peer}
}
