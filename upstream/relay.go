package upstream

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/carry"
	"xoauth2-proxy/upstream/internal/census"
	"xoauth2-proxy/upstream/internal/counters"
	"xoauth2-proxy/upstream/internal/dial"
	"xoauth2-proxy/upstream/internal/latest"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/login"
)

// Relay sends transactions to the providers. Its methods are safe for
// concurrent use.
type Relay struct {
	cfg     Config
	log     *zap.Logger
	metrics *counters.Counters
	desk    *carry.Relay // what all transactions and connections share
	dialer  *dial.Dialer
	gate    *limit.Gate // nil without a global limit
	census  census.Shards
	shards  []*shard
	seed    maphash.Seed

	loginTurn time.Duration                               // the constant, but for tests
	dial      func(*dialing)                              // (*dialing).run, but for tests
	give      func(*carry.Conn, *Transaction, *loop.Loop) // (*carry.Conn).Give, but for tests
	logins    *login.Opener
	warmer    latest.Run // of Prewarm
	saver     saver

	held atomic.Int64 // accounts that wait for an operator

	retained atomic.Pointer[account.Snapshot] // of the last Retain

	ctx    context.Context // ends when Close loses patience
	cancel context.CancelFunc
	dials  sync.WaitGroup
}

// TrySubmit hands tx to the shard of its account. It does not block. On nil
// the relay owns tx until it calls a method of tx.Done, which it may do before
// TrySubmit returns; on an error the caller still owns it.
//
// A transaction with Content is a whole message for exactly one recipient.
// Without Content the transaction is opened upstream, the recipients are
// answered, and it comes back by RecipientsReplied; the caller has told the
// client nothing yet of any recipient, or of any but the first one (see
// Transaction.FirstAnswered).
//
// Errors: ErrQueueFull, ErrClosed, ErrRecipients, ErrStuck, and that of a full tenant.
func (r *Relay) TrySubmit(tx *Transaction) error {
	return r.desk.Submit(tx, r.shardOf(tx.Account))
}

// Continue gives back to the relay a transaction that RecipientsReplied gave
// to the session, with recipients added (their Reply zero), with its Content,
// or both. RecipientsReplied is called again, or Complete if there is Content. It is
// called on tx.Loop.
//
// On an error the caller owns tx: ErrClosed, or ErrTransactionExpired, which says that the upstream
// part of the transaction is over, because the first recipient was refused or because
// the connection was lost; ClientReply of that error is the answer to whatever the
// client sends next.
func (r *Relay) Continue(tx *Transaction) error { return r.desk.Continue(tx) }

// Stuck reports whether a shard does not come back: sessions that wait for the relay
// are to try Transaction.EndWait. It is cheap.
func (r *Relay) Stuck() bool {
	for _, s := range r.shards {
		if s.part.Stuck() {
			return true
		}
	}
	return false
}

// Tenants are those with a limit, which Config.Tenants begins with.
func (r *Relay) Tenants() *Tenants { return r.desk.Tenants }

// SetIPv6 puts another value of Config.IPv6 in force, for new connections.
func (r *Relay) SetIPv6(on bool) { r.dialer.SetIPv6(on) }

// shardOf returns the shard of an account, which has all accounts of its mailbox.
func (r *Relay) shardOf(a *account.Account) *shard {
	if len(r.shards) == 1 {
		return r.shards[0]
	}
	return r.shards[maphash.String(r.seed, a.MailboxKey())%uint64(len(r.shards))]
}
