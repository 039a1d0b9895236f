// Package ehlo is what the proxy offers its clients: the EHLO reply, and the extensions
// whose parameters MAIL and RCPT take.
package ehlo

import (
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// Offer is the content of an EHLO reply (RFC 5321 section 4.1.1.1).
type Offer struct {
	Hostname string
	// MaxSize is the argument of SIZE (RFC 1870), in octets.
	MaxSize int64
	// Extensions are those that depend on the providers.
	Extensions account.Extensions
	// StartTLS and Auth tell whether the keywords are there, CRAM whether AUTH names
	// CRAM-MD5.
	StartTLS, Auth, CRAM bool
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

// Reply makes the reply. Simple clients look for "250-AUTH" and "250-STARTTLS", so neither
// is the last line.
func (o Offer) Reply() codec.Reply {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nPIPELINING\nSIZE %d", o.Hostname, o.MaxSize)
	for _, k := range keywords {
		if o.Extensions.Has(k.need) {
			b.WriteString("\n" + k.keyword)
		}
	}
	if o.StartTLS {
		b.WriteString("\nSTARTTLS")
	}
	switch {
	case o.Auth && o.CRAM:
		b.WriteString("\nAUTH CRAM-MD5 PLAIN LOGIN")
	case o.Auth:
		b.WriteString("\nAUTH PLAIN LOGIN")
	}
	b.WriteString("\nCHUNKING\nENHANCEDSTATUSCODES")
	return codec.Reply{Code: 250, Text: b.String()}
}

// understood are the extensions whose parameters MAIL takes. CannotCarry decides
// whether the account's provider supports them.
const understood = codec.ExtSIZE | codec.Ext8BITMIME | codec.ExtSMTPUTF8 |
	codec.ExtBINARYMIME | codec.ExtCHUNKING | codec.ExtAUTH

// Understood returns the extensions whose parameters MAIL takes for a provider with those
// extensions: DSN only if the provider has it.
func Understood(offered account.Extensions) codec.Extensions {
	if offered.Has(account.ExtDSN) {
		return understood | codec.ExtDSN
	}
	return understood
}

// CannotCarry returns the refusal of a message that a provider with those extensions cannot
// carry, or NoReply. SMTPUTF8 is needed for an address here; whether headers need it, or
// content BODY=8BITMIME, the relay sees when the content is there.
func CannotCarry(m codec.MailArgs, offered account.Extensions) codec.Reply {
	switch {
	case m.SMTPUTF8 && CannotName(m.Path, offered):
		return codec.ReplyNoUTF8Upstream
	case m.Body == codec.BodyBinaryMIME && !offered.Has(account.ExtBINARYMIME): // RFC 3030 section 3
		return codec.ReplyCannotConvert
	}
	return codec.NoReply
}

// CannotName reports whether an address needs SMTPUTF8 that the provider lacks (RFC 6531
// section 3.6).
func CannotName(address []byte, offered account.Extensions) bool {
	return !offered.Has(account.ExtSMTPUTF8) && codec.Has8Bit(address)
}
