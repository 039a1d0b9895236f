package account

// Extensions is a set of SMTP service extensions that a message may need of its provider.
// It has none that the proxy can do without.
type Extensions uint8

const (
	// Ext8BITMIME is content with octets above 127 (RFC 6152).
	Ext8BITMIME Extensions = 1 << iota
	// ExtSMTPUTF8 is addresses and headers in UTF-8 (RFC 6531).
	ExtSMTPUTF8
	// ExtDSN is parameters about delivery reports (RFC 3461).
	ExtDSN
	// ExtBINARYMIME is content without lines (RFC 3030).
	ExtBINARYMIME
)

// ExtensionsUnknown are the extensions assumed of a provider that no preset describes.
const ExtensionsUnknown = Ext8BITMIME

// Has reports whether all of want are in e.
func (e Extensions) Has(want Extensions) bool { return e&want == want }
