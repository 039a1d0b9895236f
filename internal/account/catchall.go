package account

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
)

// catchAllPrefix begins the Email of an account that stands for every mailbox
// of a domain: "*@example.com".
const catchAllPrefix = "*@"

// maxMailboxes bounds the mailboxes of catch-all accounts that a snapshot
// remembers. Those beyond work too, and are made anew for each login.
const maxMailboxes = 100_000

// ErrCatchAllFlow is what is wrong with a catch-all account whose tokens are
// those of one person.
var ErrCatchAllFlow = errors.New(`"*@" needs credentials that open every mailbox of the domain: client_credentials, service_account or external`)

// IsCatchAll reports whether the account stands for every mailbox of a domain;
// the login name then picks the mailbox.
func (a *Account) IsCatchAll() bool { return a.CheckCatchAll() == nil && a.namesDomain() }

func (a *Account) namesDomain() bool { return strings.HasPrefix(a.Email, catchAllPrefix) }

// CheckCatchAll returns ErrCatchAllFlow for an account whose Email begins with
// "*@" and whose credentials open one mailbox only. It is no catch-all account.
func (a *Account) CheckCatchAll() error {
	if a.namesDomain() && a.TokenFlow() == FlowRefreshToken {
		return ErrCatchAllFlow
	}
	return nil
}

// Base returns the catch-all account that a was made from for one login, or
// nil for an account that is configured by itself.
func (a *Account) Base() *Account { return a.base }

// ForMailbox returns the account of one mailbox of a catch-all account. Its ID
// is that of a, a slash and the login folded; its Email is the login in lower
// case, so that every spelling, in every snapshot, is the same mailbox with the
// same connections; all else is as in a, other than AuthIdentity and Subject,
// which are the mailbox's.
func (a *Account) ForMailbox(login string) *Account {
	m := *a
	m.base = a
	m.ID = a.ID + "/" + FoldLogin(login)
	m.Email, m.AuthIdentity, m.Subject = strings.ToLower(login), "", ""
	m.prints = nil
	m.keepFingerprints()
	return &m
}

// mailboxes are the accounts made from catch-all ones, by folded login. A
// snapshot never changes in what it says, so that remembering is all this does.
type mailboxes struct {
	byLogin sync.Map // string -> *Account
	n       atomic.Int64
}

// find returns the account of a mailbox under base, the same one each time.
func (m *mailboxes) find(base *Account, folded, login string) *Account {
	if v, ok := m.byLogin.Load(folded); ok {
		return v.(*Account)
	}
	a := base.ForMailbox(login)
	if m.n.Load() >= maxMailboxes {
		return a
	}
	v, loaded := m.byLogin.LoadOrStore(folded, a)
	if !loaded {
		m.n.Add(1)
	}
	return v.(*Account)
}

// mailboxOf returns the account of a login that is not configured by itself.
func (s *Snapshot) mailboxOf(folded, login string) (*Account, bool) {
	i := strings.LastIndexByte(folded, '@')
	if i <= 0 || folded[:i] == "*" {
		return nil, false
	}
	base, ok := s.byLogin["*"+folded[i:]]
	if !ok || !base.IsCatchAll() {
		return nil, false
	}
	return s.mailboxes.find(base, folded, login), true
}

// mailboxByID returns the account of an ID that ForMailbox made.
func (s *Snapshot) mailboxByID(id string) (*Account, bool) {
	for i := range len(id) {
		if id[i] != '/' {
			continue
		}
		base, ok := s.byID[id[:i]]
		if !ok || !base.IsCatchAll() {
			continue
		}
		login := id[i+1:]
		if a, ok := s.mailboxOf(login, login); ok && a.base == base && s.byLogin[login] == nil {
			return a, true
		}
	}
	return nil, false
}
