package upstream

import (
	"sync"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
)

const (
	// maxCommandLine is the longest command line that every server must take,
	// in octets with its CRLF (RFC 5321 section 4.5.3.1.4). An initial response
	// must not make AUTH longer (RFC 4954 section 4).
	maxCommandLine = 512
	// maxResponse is the longest response that every server must take, in
	// octets of base64 without the CRLF (RFC 4954 section 4).
	maxResponse = 12288
)

// authForm is how the response of AUTH is sent.
type authForm uint8

const (
	formUnknown authForm = iota
	// formInitial sends it in the AUTH command, as initial response.
	formInitial
	// formAlone sends it on a line of its own, after the provider's 334.
	formAlone
)

// other returns the other one of the two forms.
func (f authForm) other() authForm {
	if f == formInitial {
		return formAlone
	}
	return formInitial
}

// String is the word for logs.
func (f authForm) String() string {
	if f == formInitial {
		return "initial response"
	}
	return "response after 334"
}

// formFor returns the form of a login whose AUTH line would have so many octets
// with an initial response, CRLF included.
func formFor(setting account.InitialResponse, line int) authForm {
	switch {
	case setting == account.InitialResponseNever, setting != account.InitialResponseAlways && line > maxCommandLine:
		return formAlone
	}
	return formInitial
}

// authForms remembers the endpoints that took one form only, by "host:port". It
// is safe for concurrent use, and the zero value is ready.
type authForms struct{ byAddr sync.Map }

// of returns the form that an endpoint was found to take, or formUnknown.
func (f *authForms) of(endpoint account.Endpoint) authForm {
	if v, ok := f.byAddr.Load(endpoint.String()); ok {
		return v.(authForm)
	}
	return formUnknown
}

// learn notes that an endpoint refused the other form and took this one.
func (f *authForms) learn(endpoint account.Endpoint, form authForm, log *zap.Logger) {
	name := endpoint.String()
	if was, known := f.byAddr.Swap(name, form); known && was == form {
		return
	}
	log.Warn("provider takes one form of AUTH only", zap.String("upstream", name), zap.Stringer("form", form))
}
