package account

import "strings"

// Keywords is a set of EHLO keywords, those of the extensions that the proxy uses with
// providers of its own accord or for a message.
type Keywords uint8

const (
	// KeywordSIZE tells the size of a message (RFC 1870).
	KeywordSIZE Keywords = 1 << iota
	// Keyword8BITMIME is of Ext8BITMIME.
	Keyword8BITMIME
	// KeywordSMTPUTF8 is of ExtSMTPUTF8.
	KeywordSMTPUTF8
	// KeywordDSN is of ExtDSN.
	KeywordDSN
	// KeywordCHUNKING sends content by BDAT (RFC 3030).
	KeywordCHUNKING
	// KeywordBINARYMIME is of ExtBINARYMIME. It needs CHUNKING.
	KeywordBINARYMIME
	// KeywordPIPELINING sends commands in groups (RFC 2920).
	KeywordPIPELINING

	// AllKeywords are all of them.
	AllKeywords Keywords = 1<<iota - 1
)

var keywords = [...]struct {
	name string
	bit  Keywords
	is   Extensions // that a message may need
}{
	{"SIZE", KeywordSIZE, 0},
	{"8BITMIME", Keyword8BITMIME, Ext8BITMIME},
	{"SMTPUTF8", KeywordSMTPUTF8, ExtSMTPUTF8},
	{"DSN", KeywordDSN, ExtDSN},
	{"CHUNKING", KeywordCHUNKING, 0},
	{"BINARYMIME", KeywordBINARYMIME, ExtBINARYMIME},
	{"PIPELINING", KeywordPIPELINING, 0},
}

// KeywordOf returns the keyword of that name, in any case; 0 if it is none of them.
func KeywordOf(name string) Keywords {
	for i := range keywords {
		if strings.EqualFold(keywords[i].name, name) {
			return keywords[i].bit
		}
	}
	return 0
}

// Has reports whether all of want are in k.
func (k Keywords) Has(want Keywords) bool { return k&want == want }

// With returns k and what cannot be used without a keyword in it.
func (k Keywords) With(more Keywords) Keywords {
	if k |= more; k.Has(KeywordCHUNKING) {
		k |= KeywordBINARYMIME
	}
	return k
}

// Extensions returns those that a message cannot need where k are not used.
func (k Keywords) Extensions() (x Extensions) {
	for i := range keywords {
		if k.Has(keywords[i].bit) {
			x |= keywords[i].is
		}
	}
	return x
}

// String lists the keywords, for operators.
func (k Keywords) String() string {
	var names []string
	for i := range keywords {
		if k.Has(keywords[i].bit) {
			names = append(names, keywords[i].name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
