package server

import (
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
)

// offer is what a listener promises in its EHLO replies (RFC 5321 section
// 4.1.1.1), before and after TLS. It changes with the accounts.
type offer struct {
	means         means // what it was made from
	clear, secure codec.Reply
	cram          bool // CRAM-MD5 is taken, if not for every account
}

// means is what the accounts allow to promise.
type means struct {
	extensions account.Extensions // which every account's provider has
	// someCRAM and allCRAM tell that some, or all, of the accounts with a
	// password have it stored recoverably.
	someCRAM, allCRAM bool
}

// keywords are the EHLO keywords that depend on the providers.
var keywords = []struct {
	need    account.Extensions
	keyword string
}{
	{account.Ext8BITMIME, "8BITMIME"},
	{account.ExtSMTPUTF8, "SMTPUTF8"},
	{account.ExtDSN, "DSN"},
	{account.ExtBINARYMIME, "BINARYMIME"},
}

// offered is the offer for the accounts as they are now: its extensions are
// right at once, CRAM-MD5 when the passwords of new accounts have been parsed.
func (l *listener) offered() *offer {
	snapshot := l.srv.accounts.Load()
	l.srv.learn(snapshot)
	o := l.offer.Load()
	m := o.means
	if m.extensions = snapshot.Extensions(); m == o.means {
		return o
	}
	now := l.newOffer(m)
	l.offer.CompareAndSwap(o, now) // or else a newer one is there
	return now
}

// advertise has the next sessions offered what m allows.
func (l *listener) advertise(m means) { l.offer.Store(l.newOffer(m)) }

// newOffer makes the EHLO replies. CRAM-MD5 stands in them when it works for
// every account: clients that can do it choose it without asking.
func (l *listener) newOffer(m means) *offer {
	cram, announced := true, true
	switch l.policy {
	case password.PolicyShared:
		cram = l.srv.shared.Recoverable()
		announced = cram
	case password.PolicyAccount:
		cram, announced = m.someCRAM, m.allCRAM
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nPIPELINING\nSIZE %d", l.srv.cfg.Hostname, l.srv.cfg.MaxMessageSize)
	for _, k := range keywords {
		if m.extensions.Has(k.need) {
			b.WriteString("\n" + k.keyword)
		}
	}
	b.WriteString("\nCHUNKING\nENHANCEDSTATUSCODES")
	auth := "\nAUTH PLAIN LOGIN"
	if announced {
		auth = "\nAUTH CRAM-MD5 PLAIN LOGIN"
	}
	o := &offer{means: m, cram: cram}
	o.secure = codec.Reply{Code: 250, Text: b.String() + auth}
	o.clear = o.secure
	if l.cfg.TLS.offered() {
		o.clear.Text = b.String() + "\nSTARTTLS" + auth
	}
	if l.cfg.TLS == TLSRequired {
		o.clear.Text = b.String() + "\nSTARTTLS"
	}
	return o
}

// prepare looks at all accounts: what a login that names none of them is to
// cost, and what may be promised.
func (srv *Server) prepare(snapshot *account.Snapshot) {
	m := means{extensions: snapshot.Extensions(), allCRAM: true}
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
		l.advertise(m)
	}
}

// understood are the extensions whose parameters MAIL takes; whether the
// account's provider can carry what they ask for is another question.
const understood = codec.ExtSIZE | codec.Ext8BITMIME | codec.ExtSMTPUTF8 |
	codec.ExtBINARYMIME | codec.ExtCHUNKING | codec.ExtAUTH

// understood are the extensions whose parameters the session's MAIL takes:
// those about delivery reports are unknown where the provider has none.
func (s *session) understood() codec.Extensions {
	if s.account.Extensions.Has(account.ExtDSN) {
		return understood | codec.ExtDSN
	}
	return understood
}

// cannotCarry says why a message does not fit the provider; zero if it does.
func cannotCarry(m codec.MailArgs, offered account.Extensions) codec.Reply {
	switch {
	case m.SMTPUTF8 && !offered.Has(account.ExtSMTPUTF8): // RFC 6531 section 3.6
		return codec.ReplyNoUTF8Upstream
	case m.Body == codec.Body8BitMIME && !offered.Has(account.Ext8BITMIME), // RFC 6152 section 3
		m.Body == codec.BodyBinaryMIME && !offered.Has(account.ExtBINARYMIME): // RFC 3030 section 3
		return codec.ReplyCannotConvert
	}
	return codec.NoReply
}
