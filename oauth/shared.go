package oauth

import (
	"context"
	"time"

	"xoauth2-proxy/internal/account"
)

// The mailboxes of a catch-all account with app-only credentials share one access
// token: the client's, which is good for all of them. Their sources fetch nothing.
// They use the token of the catch-all account's source, their parent, with their own
// mailbox in the initial responses. A refusal of one mailbox at login counts against
// that mailbox alone.

// sharesToken returns the account whose token a uses, nil if a has its own.
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

// shareAnswer is share for the parent's answer; the error says why there is no
// token.
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
	if err := s.refusal(time.Now()); err != nil {
		return nil, err
	}
	return s.shareAnswer(s.parent.Get(ctx))
}

func (s *Source) requestShared(done func(*Token, error)) {
	if err := s.refusal(time.Now()); err != nil {
		s.m.workers.Spawn(func() { done(nil, err) })
		return
	}
	s.parent.Request(func(t *Token, err error) { done(s.shareAnswer(t, err)) })
}

// refusal returns why this mailbox gets no token now, nil if it may have one. After
// a back-off the parent's token is good for one more try.
func (s *Source) refusal(now time.Time) error {
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

// invalidateShared has the parent fetch a new token if t is settled: t may have been
// revoked. If t is new, the fault is the mailbox's, and the other mailboxes keep
// their token.
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

// discard drops the token with that number. It does not count as refused.
func (s *Source) discard(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.token.Load(); t != nil && t.seq == seq {
		s.token.Store(nil)
	}
}
