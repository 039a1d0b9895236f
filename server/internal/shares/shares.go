// Package shares has each account's share of the memory for content.
package shares

import (
	"runtime"
	"sync"
	"weak"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// Budget makes a budget of limit octets for contents of at most largest octets. Segments are
// charged whole: where one of the largest size is to fit, it needs a little more than that.
func Budget(limit, largest int64) *codec.Budget {
	if limit >= largest {
		limit = max(limit, codec.Capacity(largest))
	}
	return codec.NewBudget(limit)
}

// Shares are the shares of all accounts in a budget. A share lives as long as a session or
// a content has it. Shares is safe for concurrent use.
type Shares struct {
	budget  *codec.Budget
	largest int64

	mu        sync.Mutex // guards byAccount
	byAccount map[string]weak.Pointer[codec.Share]
}

// New makes the shares of accounts whose content has at most largest octets.
func New(b *codec.Budget, largest int64) *Shares {
	return &Shares{budget: b, largest: largest, byAccount: make(map[string]weak.Pointer[codec.Share])}
}

// Of returns the share of an account, by its id: the same one as long as it is in use. All
// mailboxes of a catch-all account have one: their names are the clients' choice.
func (s *Shares) Of(a *account.Account) *codec.Share {
	if base := a.Base(); base != nil {
		a = base
	}
	return s.of(a.ID)
}

func (s *Shares) of(account string) *codec.Share {
	s.mu.Lock()
	defer s.mu.Unlock()
	if share := s.byAccount[account].Value(); share != nil {
		return share
	}
	share := s.budget.NewShare(s.largest)
	s.byAccount[account] = weak.Make(share)
	runtime.AddCleanup(share, s.forget, account)
	return share
}

// forget removes the entry of an account whose share is gone, unless there is a new one.
func (s *Shares) forget(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byAccount[account].Value() == nil {
		delete(s.byAccount, account)
	}
}

// Len returns the number of accounts that have a share.
func (s *Shares) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byAccount)
}
