package account

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
	"weak"
)

// catchAllPrefix begins the Email of an account that stands for every mailbox
// of a domain: "*@example.com".
const catchAllPrefix = "*@"

// ErrCatchAllFlow says that the tokens of a catch-all account open one mailbox only.
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

// ForMailbox returns the account of one mailbox of a catch-all account. Its ID is the ID of
// a, a slash and the key of the login (FoldLogin). Its Email is that key too, so that every
// spelling, in every snapshot, is the same mailbox with the same connections, whichever
// came first. AuthIdentity and Subject are the mailbox's. All else is as in a.
func (a *Account) ForMailbox(login string) *Account {
	m := *a
	m.base = a
	m.ID = a.ID + "/" + FoldLogin(login)
	m.Email, m.AuthIdentity, m.Subject = FoldLogin(login), "", ""
	m.prints, m.mailboxes = nil, nil
	m.keepFingerprints()
	return &m
}

// mailboxes are the accounts made from one catch-all account, by folded login. They hold
// each account by a weak pointer: all users of a mailbox have the same account, and unused
// ones take no memory. They belong to the catch-all account and not to a snapshot: a reload
// that keeps the catch-all account keeps them.
type mailboxes struct {
	// owner is the catch-all account. A copy of that has the same pointer, but these
	// are not its mailboxes.
	owner   *Account
	byLogin sync.Map // string -> weak.Pointer[Account]
}

// keepMailboxes gives a catch-all account its mailboxes, unless it has them. It is not safe
// for an account without them that others use already.
func (a *Account) keepMailboxes() {
	if a.IsCatchAll() && (a.mailboxes == nil || a.mailboxes.owner != a) {
		a.mailboxes = &mailboxes{owner: a}
	}
}

// find returns the account of a mailbox, the same one as long as it is in use.
func (m *mailboxes) find(folded, login string) *Account {
	v, known := m.byLogin.Load(folded)
	if known {
		if a := v.(weak.Pointer[Account]).Value(); a != nil {
			return a
		}
	}
	a := m.owner.ForMailbox(login)
	entry := mailbox{m, folded, weak.Make(a)}
	for {
		switch {
		case !known:
			if v, known = m.byLogin.LoadOrStore(folded, entry.account); !known {
				runtime.AddCleanup(a, mailbox.forget, entry)
				return a
			}
		case m.byLogin.CompareAndSwap(folded, v, entry.account): // the account of v is gone
			runtime.AddCleanup(a, mailbox.forget, entry)
			return a
		default:
			v, known = m.byLogin.Load(folded)
		}
		if known {
			if other := v.(weak.Pointer[Account]).Value(); other != nil {
				return other
			}
		}
	}
}

// mailbox is one entry of mailboxes.
type mailbox struct {
	of      *mailboxes
	folded  string
	account weak.Pointer[Account]
}

// forget removes an entry whose account is gone.
func (e mailbox) forget() { e.of.byLogin.CompareAndDelete(e.folded, e.account) }

// mailboxOf returns the account of a login that is not configured by itself.
func (s *Snapshot) mailboxOf(folded, login string) (*Account, bool) {
	i := strings.IndexByte(folded, '@')
	if i <= 0 || folded[:i] == "*" || s.leftOutLogins[folded] || !isMailbox(login) {
		return nil, false
	}
	base, ok := s.byLogin["*"+folded[i:]]
	if !ok || !base.IsCatchAll() {
		return nil, false
	}
	return base.mailboxes.find(folded, login), true
}

// isMailbox reports whether a login can name a mailbox: one "@", and no control character
// or white space. The name goes to the provider, where a control character would end it
// in the response of XOAUTH2.
func isMailbox(login string) bool {
	if !utf8.ValidString(login) || strings.Count(login, "@") != 1 {
		return false
	}
	for _, r := range login {
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return true
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
