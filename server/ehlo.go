package server

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
	"xoauth2-proxy/server/internal/ehlo"
)

// ehloReplies are a listener's EHLO replies (RFC 5321 section 4.1.1.1), before and
// after TLS. They change with the accounts.
type ehloReplies struct {
	from          capabilities
	clear, secure codec.Reply
	cram          bool // CRAM-MD5 works for at least one account
}

// capabilities are the parts of an EHLO reply that depend on the accounts.
type capabilities struct {
	extensions account.Extensions // that the provider of every account has
	// someCRAM and allCRAM tell that some, or all, of the accounts with a
	// password have it stored recoverably.
	someCRAM, allCRAM bool
}

// currentEHLO returns the EHLO replies for the accounts in force. The extensions are
// right at once, CRAM-MD5 after the passwords of new accounts have been parsed.
func (l *listener) currentEHLO() *ehloReplies {
	snapshot := l.srv.accounts.Load()
	l.srv.learn(snapshot)
	old := l.ehlo.Load()
	m := old.from
	if m.extensions = snapshot.Extensions(); m == old.from {
		return old
	}
	now := l.newEHLO(m)
	l.ehlo.CompareAndSwap(old, now) // fails if newer replies were stored meanwhile
	return now
}

// offersCRAM reports whether CRAM-MD5 can work on this listener: it needs
// secrets that are stored recoverably, or none at all.
func (s *session) offersCRAM() bool { return s.listener.currentEHLO().cram }

// newEHLO makes the EHLO replies. They list CRAM-MD5 only if it works for every
// account: clients that support CRAM-MD5 choose it without asking.
func (l *listener) newEHLO(m capabilities) *ehloReplies {
	cram, announced := true, true
	switch l.policy {
	case password.PolicyShared:
		cram = l.srv.shared.Recoverable()
		announced = cram
	case password.PolicyAccount:
		cram, announced = m.someCRAM, m.allCRAM
	}
	offer := ehlo.Offer{
		Hostname: l.srv.cfg.Hostname, MaxSize: l.srv.cfg.MaxMessageSize,
		Extensions: m.extensions, Auth: true, CRAM: announced,
	}
	r := &ehloReplies{from: m, cram: cram, secure: offer.Reply()}
	offer.StartTLS, offer.Auth = l.cfg.TLS.OffersSTARTTLS(), l.cfg.TLS != TLSRequired
	r.clear = offer.Reply()
	return r
}

// prepare examines all accounts. It decides how much time the check of an unknown
// login takes, and renews the EHLO replies.
func (srv *Server) prepare(snapshot *account.Snapshot) {
	m := capabilities{extensions: snapshot.Extensions(), allCRAM: true}
	srv.passwords.Imitate(func(yield func(password.Secret) bool) {
		more := true
		for _, a := range snapshot.All() {
			if a.ClientPassword.IsZero() {
				continue
			}
			secret := storedPassword(a)
			if secret.Recoverable() {
				m.someCRAM = true
			} else {
				m.allCRAM = false
			}
			more = more && yield(secret)
		}
	})
	m.allCRAM = m.allCRAM && m.someCRAM
	for _, l := range srv.listeners {
		l.ehlo.Store(l.newEHLO(m))
	}
}
