package carry

import (
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/account"
)

// ResultNames are the outcomes of messages and of recipients.
var ResultNames = resultNames

// AccountCounts is what became of the messages of one account, and of their recipients, by
// outcome in the order of ResultNames. A recipient that was refused by itself has that
// outcome; the others have the one of the message.
type AccountCounts struct {
	Messages, Recipients [numResults]atomic.Int64
	last                 atomic.Int64
}

// LastDelivered is when the provider took a message last, zero if none.
func (c *AccountCounts) LastDelivered() time.Time {
	if n := c.last.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// ByAccount has the counts of the accounts that have sent. A nil ByAccount counts nothing.
type ByAccount struct {
	mu sync.RWMutex
	of map[string]*AccountCounts // by id of the account in the configuration
}

// NewByAccount returns counts of no account.
func NewByAccount() *ByAccount { return &ByAccount{of: make(map[string]*AccountCounts)} }

// Of returns the counts of an account in the configuration; nil if it has not sent.
func (b *ByAccount) Of(id string) *AccountCounts {
	if b == nil {
		return nil
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.of[id]
}

// Keep drops the counts of accounts that are not in s.
func (b *ByAccount) Keep(s *account.Snapshot) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.of {
		if _, ok := s.ByID(id); !ok {
			delete(b.of, id)
		}
	}
}

// message counts the outcome of tx, which is still the relay's.
func (b *ByAccount) message(tx *Transaction, result int, now time.Time) {
	if b == nil {
		return
	}
	id := tx.Account.ID
	if base := tx.Account.Base(); base != nil {
		id = base.ID
	}
	c := b.Of(id)
	if c == nil {
		b.mu.Lock()
		if c = b.of[id]; c == nil {
			c = new(AccountCounts)
			b.of[id] = c
		}
		b.mu.Unlock()
	}
	c.Messages[result].Add(1)
	for i := range tx.Rcpts {
		switch reply := &tx.Rcpts[i].Reply; {
		case reply.Permanent():
			c.Recipients[resultRefused].Add(1)
		case reply.Code >= 400:
			c.Recipients[resultDeferred].Add(1)
		default:
			c.Recipients[result].Add(1)
		}
	}
	if result == resultDelivered {
		c.last.Store(now.UnixNano())
	}
}
