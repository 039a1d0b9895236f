package server

import (
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/password"
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
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nPIPELINING\nSIZE %d", l.srv.cfg.Hostname, l.srv.cfg.MaxMessageSize)
	for _, k := range keywords {
		if m.extensions.Has(k.need) {
			b.WriteString("\n" + k.keyword)
		}
	}
	head, auth := b.String(), "\nAUTH PLAIN LOGIN"
	if announced {
		auth = "\nAUTH CRAM-MD5 PLAIN LOGIN"
	}
	// Simple clients look for "250-AUTH" and "250-STARTTLS", so neither is the last line.
	const last = "\nCHUNKING\nENHANCEDSTATUSCODES"
	r := &ehloReplies{from: m, cram: cram}
	r.secure = codec.Reply{Code: 250, Text: head + auth + last}
	r.clear = r.secure
	if l.cfg.TLS.offersSTARTTLS() {
		r.clear.Text = head + "\nSTARTTLS" + auth + last
	}
	if l.cfg.TLS == TLSRequired {
		r.clear.Text = head + "\nSTARTTLS" + last
	}
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

// understood are the extensions whose parameters MAIL takes. cannotCarry decides
// whether the account's provider supports them.
const understood = codec.ExtSIZE | codec.Ext8BITMIME | codec.ExtSMTPUTF8 |
	codec.ExtBINARYMIME | codec.ExtCHUNKING | codec.ExtAUTH

// understood returns the extensions whose parameters the session's MAIL takes: DSN
// only if the provider has it.
func (s *session) understood() codec.Extensions {
	if s.account.Extensions.Has(account.ExtDSN) {
		return understood | codec.ExtDSN
	}
	return understood
}

// cannotCarry returns the refusal of a message that the provider cannot carry, or
// NoReply.
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
