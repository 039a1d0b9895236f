package oauth

import (
	"context"
	"time"

	"xoauth2-proxy/internal/account"
)

// The mailboxes of a catch-all account with app-only credentials share one
// access token: the client's, which is good for all of them. Their sources fetch
// nothing. They take the token of the catch-all account's source, their parent,
// and put their own mailbox into the initial responses. What the provider says
// of one mailbox at login is held against that one alone.

// sharesToken returns the account whose token a uses, nil if its own.
func sharesToken(a *account.Account) *account.Account {
	if a.TokenFlow() == account.FlowClientCredentials {
		return a.Base()
	}
	return nil
}

// share returns the parent's token t with the initial responses of this
// mailbox, nil if it was refused at login. The same t gives the same result.
func (s *Source) share(t *Token) *Token {
	if t == nil {
		return nil
	}
	if own := s.token.Load(); own != nil && own.seq == t.seq {
		return own
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if own := s.token.Load(); own != nil && own.seq == t.seq {
		return own
	}
	if s.retired || s.refusedSeq == t.seq {
		return nil
	}
	own := t.forLogin(loginOf(s.account.Load()))
	s.token.Store(own)
	return own
}

// shareAnswer is share for an answer, with the reason when there is no token.
func (s *Source) shareAnswer(t *Token, err error) (*Token, error) {
	if err != nil {
		return nil, err
	}
	if own := s.share(t); own != nil {
		return own, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.retired:
		return nil, errRetired
	case s.failure != nil:
		return nil, s.failure
	}
	return nil, errRefused
}

func (s *Source) getShared(ctx context.Context) (*Token, error) {
	if err := s.standing(time.Now()); err != nil {
		return nil, err
	}
	return s.shareAnswer(s.parent.Get(ctx))
}

func (s *Source) requestShared(done func(*Token, error)) {
	if err := s.standing(time.Now()); err != nil {
		s.m.workers.spawn(func() { done(nil, err) })
		return
	}
	s.parent.Request(func(t *Token, err error) { done(s.shareAnswer(t, err)) })
}

// standing returns why this mailbox gets no token now, nil if it may. Once a
// back-off is over, the parent's token is good again for one more try.
func (s *Source) standing(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired && s.token.Load() == nil {
		return errRetired
	}
	if err := s.remembered(now); err != nil {
		return err
	}
	s.refusedSeq = 0
	return nil
}

// invalidateShared has the parent fetch a new token if t is an old one, which
// may have been revoked. If it is new, the fault is the mailbox's, and the
// others must not lose their token for it.
func (s *Source) invalidateShared(t *Token) {
	s.mu.Lock()
	own := s.token.Load()
	if t == nil || own == nil || own.seq != t.seq {
		s.mu.Unlock()
		return
	}
	now := time.Now()
	s.token.Store(nil)
	old := now.Sub(own.issued) >= settled
	if !old {
		s.refusedSeq = own.seq
		s.refusals = max(s.refusals, 1) // a new token would be no better
	}
	s.refused(own, now)
	s.mu.Unlock()
	if old {
		s.parent.discard(own.seq)
	}
}

// discard drops the token with that number, without holding it against the
// account.
func (s *Source) discard(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.token.Load(); t != nil && t.seq == seq {
		s.token.Store(nil)
	}
}
