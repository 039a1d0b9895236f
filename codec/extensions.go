package codec

// Extensions is a set of SMTP service extensions, such as a server's EHLO reply
// lists.
type Extensions uint16

// The extensions that this package knows.
const (
	ExtSIZE       Extensions = 1 << iota // RFC 1870
	Ext8BITMIME                          // RFC 6152
	ExtSMTPUTF8                          // RFC 6531
	ExtDSN                               // RFC 3461
	ExtBINARYMIME                        // RFC 3030
	ExtCHUNKING                          // RFC 3030
	ExtPIPELINING                        // RFC 2920
	ExtAUTH                              // RFC 4954
)

// Has reports whether all of want are in e.
func (e Extensions) Has(want Extensions) bool { return e&want == want }

// Body is the value of the BODY parameter (RFC 6152, RFC 3030).
type Body uint8

// Values of Body. BodyUnset, the zero value, means no parameter.
const (
	BodyUnset Body = iota
	Body7Bit
	Body8BitMIME
	BodyBinaryMIME
)

// DSNRet is the value of the RET parameter (RFC 3461 section 4.3).
type DSNRet uint8

// Values of DSNRet. RetUnset, the zero value, means no parameter.
const (
	RetUnset DSNRet = iota
	RetFull
	RetHeaders
)

// DSNNotify is the value of the NOTIFY parameter (RFC 3461 section 4.1), a
// set. Zero means no parameter.
type DSNNotify uint8

// Members of DSNNotify. NotifyNever stands alone.
const (
	NotifyNever DSNNotify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)
