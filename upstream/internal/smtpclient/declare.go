package smtpclient

import "xoauth2-proxy/codec"

// MAIL declares what the message needs, not what the client said: BODY=8BITMIME for content
// with octets above 127 (RFC 6152), SMTPUTF8, if the client asked for it, for such octets in
// addresses or headers (RFC 6531). While the content is not there, only addresses count.
// BODY=BINARYMIME stays as it is.

// Needs returns which of 8BITMIME and SMTPUTF8 a message needs, as far as it is there.
// Recipients that are refused do not count.
func Needs(m *codec.MailArgs, rcpts []Recipient, content *codec.Content) (needs codec.Extensions) {
	if content != nil && m.Body != codec.BodyBinaryMIME && content.Has8Bit() {
		needs |= codec.Ext8BITMIME
	}
	if !m.SMTPUTF8 {
		return needs
	}
	utf8 := codec.Has8Bit(m.Path) || content != nil && content.HeaderHas8Bit()
	for i := 0; i < len(rcpts) && !utf8; i++ {
		utf8 = rcpts[i].Reply.Code < 400 && codec.Has8Bit(rcpts[i].Args.Path)
	}
	if utf8 {
		needs |= codec.ExtSMTPUTF8
	}
	return needs
}

// Covers reports whether the MAIL that was sent declares those of needs that the provider
// has.
func (c *Conn) Covers(needs codec.Extensions) bool {
	return c.declared.Has(needs & c.Offer.Extensions)
}

// examine looks at what the owner has added to the exchange. A recipient that needs SMTPUTF8
// where the provider lacks it is refused here, by itself.
func (c *Conn) examine() {
	x := &c.Exchange
	if x.Mail.SMTPUTF8 && !c.Offer.Has(codec.ExtSMTPUTF8) && !x.whole() {
		for i := range x.Rcpts[:x.To] {
			r := &x.Rcpts[i]
			if r.Reply.IsZero() && !(i == 0 && x.Promised) && codec.Has8Bit(r.Args.Path) {
				r.Reply = codec.ReplyNoUTF8Upstream
			}
		}
	}
	x.needs = Needs(x.Mail, x.Rcpts[:x.To], x.Content)
	x.Undeclared = x.needs.Has(codec.Ext8BITMIME) && x.Mail.Body != codec.Body8BitMIME && !c.Offer.Has(codec.Ext8BITMIME)
}

// declare returns the arguments of MAIL for the provider.
func (c *Conn) declare() codec.MailArgs {
	x := &c.Exchange
	m := *x.Mail
	switch {
	case m.Body == codec.BodyBinaryMIME:
	case x.needs.Has(codec.Ext8BITMIME):
		m.Body = codec.Body8BitMIME
	case x.Content == nil || m.Body == codec.Body8BitMIME:
		m.Body = codec.BodyUnset
	}
	m.SMTPUTF8 = x.needs.Has(codec.ExtSMTPUTF8)
	c.declared = x.needs
	return m
}
