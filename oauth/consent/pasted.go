package consent

import (
	"errors"
	"net/url"
	"strings"
)

var (
	// ErrNotAnswer: what was pasted is neither the address that the browser was sent to
	// nor a code, or it answers another request.
	ErrNotAnswer   = errors.New("this is neither the address that the browser was sent to for this request nor the code in it")
	errRedirectURI = errors.New("the redirect URI must be an absolute address without a fragment")
)

const (
	// wrapping is what mail programs, chats and people put around an address.
	wrapping = " \t\r\n\"'`<>()[]{}\u00ab\u00bb\u2018\u2019\u201c\u201d\u201e\u00a0\u200b\ufeff"
	// shortestCode is the length of the shortest code, in octets, that is taken without
	// "code=". Real ones are longer; a word is shorter.
	shortestCode = 8
)

// readPasted reads the answer of an authorization endpoint from what a person pasted:
// the whole address with or without its scheme, its query, or the code alone, as it is
// or as the address has it (%2F). ok is false if there is no answer in it.
func readPasted(text string) (q url.Values, ok bool) {
	text = strings.Trim(text, wrapping)
	query := text
	if _, after, found := strings.Cut(text, "?"); found {
		query = after
	} else if _, after, found := strings.Cut(text, "#"); found {
		query = after
	}
	query, _, _ = strings.Cut(query, "#")
	if q, err := url.ParseQuery(strings.ReplaceAll(query, "&amp;", "&")); err == nil && (isCode(q.Get("code")) || q.Get("error") != "") {
		return q, true
	}
	code, err := url.PathUnescape(strings.TrimRight(text, "#,;"))
	if err != nil || len(code) < shortestCode || !isCode(code) ||
		strings.ContainsAny(strings.TrimRight(code, "="), "?&=#@") || strings.Contains(code, "://") {
		return nil, false
	}
	return url.Values{"code": {code}}, true
}

// isCode reports whether s can be a code: of the VSCHAR of RFC 6749 appendix A.11 all
// but the space, which only what people write has.
func isCode(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return s != ""
}
