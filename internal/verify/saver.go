package verify

import (
	"errors"
	"os"
	"sync"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

// refreshTokenKey is the key of an account that has its refresh token.
const refreshTokenKey = "refresh_token"

// Saver is a token store for a program that verifies accounts and has no other one.
// It puts each refresh token that a provider gives in place of another into the
// accounts file, or into the file to which that refers, before an account's token is used.
// It keeps elsewhere what no file takes: see accountfile.Rescue. It implements oauth.Store.
type Saver struct {
	basis    *accountfile.Basis
	accounts map[string]*account.Account // by account_id

	mu      sync.Mutex                // guards the two below
	waiting map[string]account.Secret // by account_id: for the next flush
	asked   int                       // calls of Save

	writer  sync.Mutex           // held by the flush that runs; guards the fields below
	pending map[string]*rotation // by account_id: not in a file
	placed  map[string]placed    // by account_id: what the Saver has put into a file
	flushed int                  // the calls of Save that a flush has covered
	result  error                // of the last flush
	path    string               // of the accounts kept elsewhere; ""
	cause   error                // why the file did not take them
}

// rotation is a refresh token that a provider gave.
type rotation struct {
	account *account.Account
	newest  account.Secret
	// reference is to another place for the token; "" if it stands in the accounts file.
	reference string
}

// placed is a refresh token in a file.
type placed struct {
	token    account.Secret
	referred bool // the file is one to which the accounts file refers
}

// NewSaver returns a Saver for the accounts, which were read from the file of b.
func NewSaver(b *accountfile.Basis, accounts []*account.Account) *Saver {
	s := &Saver{basis: b, accounts: make(map[string]*account.Account, len(accounts)),
		waiting: make(map[string]account.Secret), pending: make(map[string]*rotation), placed: make(map[string]placed)}
	for _, a := range accounts {
		s.accounts[a.ID] = a
	}
	return s
}

// Rehearse finds out whether the file can be changed, if a provider may replace the
// refresh token of one of the accounts.
func (s *Saver) Rehearse() error {
	for _, a := range s.accounts {
		if a.TokenFlow() == account.FlowRefreshToken {
			rehearsal := accountfile.EditOptions{DryRun: true, Rehearse: true}
			_, err := accountfile.Edit(s.basis, rehearsal, func(*accountfile.List) error { return nil })
			return err
		}
	}
	return nil
}

// Load implements oauth.Store: the account has the newest refresh token.
func (*Saver) Load(oauth.Chain) (oauth.Record, bool, error) { return oauth.Record{}, false, nil }

// Retain implements oauth.Store.
func (*Saver) Retain(func(oauth.Chain) bool) error { return nil }

// Save implements oauth.Store. Calls at the same time share one change of the file.
// After an error Flush tries again.
func (s *Saver) Save(c oauth.Chain, r oauth.Record) error {
	if r.Refresh.IsZero() || s.accounts[c.AccountID] == nil {
		return nil
	}
	s.mu.Lock()
	s.waiting[c.AccountID] = r.Refresh
	s.asked++
	mine := s.asked
	s.mu.Unlock()
	s.writer.Lock()
	defer s.writer.Unlock()
	if s.flushed >= mine { // together with another call's
		return s.result
	}
	return s.flush()
}

// Flush saves what could not be saved before. The error says why some refresh tokens
// are in memory only.
func (s *Saver) Flush() error {
	s.writer.Lock()
	defer s.writer.Unlock()
	return s.flush()
}

// flush saves all that waits. The caller holds writer.
func (s *Saver) flush() error {
	s.mu.Lock()
	for id, newest := range s.waiting {
		s.pending[id] = &rotation{account: s.accounts[id], newest: newest}
	}
	clear(s.waiting)
	s.flushed = s.asked
	s.mu.Unlock()
	s.result = nil
	if len(s.pending) > 0 {
		s.cause = s.edit()
	}
	if len(s.pending) > 0 {
		s.result = s.rescue()
	} else {
		s.discard()
	}
	return s.result
}

// edit puts the pending tokens into the file, and keeps as pending those that it
// cannot hold. An account that has other credentials now needs no token of the old.
func (s *Saver) edit() error {
	byEmail := make(map[string]*rotation, len(s.pending))
	for _, r := range s.pending {
		byEmail[account.FoldLogin(r.account.Email)] = r
	}
	inFile := make(map[string]account.Secret)
	_, err := accountfile.Edit(s.basis, accountfile.EditOptions{}, func(l *accountfile.List) error {
		return l.ReplaceStrings([]string{refreshTokenKey}, func(email, key, value string) (string, error) {
			r := byEmail[account.FoldLogin(email)]
			if r == nil {
				return value, nil
			}
			if r.reference = ""; seal.IsReference(value) && !seal.IsSealed(value) {
				r.reference = value
				return value, nil
			}
			field := seal.Field{Account: email, Key: key}
			if plain, err := seal.Resolve(value, s.basis.Keys, field); err != nil || plain != s.known(r.account).Reveal() {
				return value, err
			}
			inFile[r.account.ID] = r.newest
			if s.basis.Keys.CanSeal() {
				return s.basis.Keys.SealField(r.newest.Reveal(), field)
			}
			return r.newest.Reveal(), nil
		})
	})
	if err != nil {
		return err
	}
	for id, token := range inFile {
		s.placed[id] = placed{token: token}
	}
	var failed error
	for id, r := range s.pending {
		if err := s.renew(r); err != nil {
			failed = err
			continue
		}
		delete(s.pending, id)
	}
	return failed
}

// renew puts a token into the file to which the accounts file refers, if it does.
func (s *Saver) renew(r *rotation) error {
	if r.reference == "" {
		return nil
	}
	file, err := accountfile.NewSecretFile(r.reference)
	if errors.Is(err, accountfile.ErrNoSecretFile) {
		return errReference
	}
	if err != nil {
		return err
	}
	renewed, err := file.Renew(s.known(r.account), r.newest)
	if renewed {
		s.placed[r.account.ID] = placed{r.newest, true}
	}
	return err
}

// errReference says why no file takes a token.
var errReference = errors.New("the file refers to a place for the refresh token that a command cannot change (env: or credential:)")

// known returns the refresh token that the file has, unless another program has
// changed the account.
func (s *Saver) known(a *account.Account) account.Secret {
	if p, ok := s.placed[a.ID]; ok {
		return p.token
	}
	return a.RefreshToken
}

// rescue keeps all pending tokens elsewhere, in one new file.
func (s *Saver) rescue() error {
	entries := make([]*accountfile.Entry, 0, len(s.pending))
	for _, r := range s.pending {
		e := new(accountfile.Entry)
		e.Set("email", r.account.Email)
		e.Set(refreshTokenKey, r.newest.Reveal())
		entries = append(entries, e)
	}
	path, err := accountfile.Rescue(s.basis, entries)
	if err != nil {
		return errors.Join(s.cause, err)
	}
	s.discard()
	s.path = path
	return nil
}

// discard removes the accounts that are kept elsewhere: they are saved again, or a
// newer file has them.
func (s *Saver) discard() {
	if s.path != "" {
		_ = os.Remove(s.path) // an older copy does no harm
		s.path = ""
	}
}

// Saved returns the number of accounts whose new refresh token is in the accounts file,
// and of those where it is in a file to which that refers.
func (s *Saver) Saved() (inFile, referred int) {
	s.writer.Lock()
	defer s.writer.Unlock()
	for _, p := range s.placed {
		if p.referred {
			referred++
		}
	}
	return len(s.placed) - referred, referred
}

// Kept tells of the accounts whose new refresh token no file of theirs has: their
// number, the file that has them ("": none), and why.
func (s *Saver) Kept() (n int, path string, cause error) {
	s.writer.Lock()
	defer s.writer.Unlock()
	return len(s.pending), s.path, s.cause
}
