package smtpclient

import (
	"bytes"
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

// mechanisms are the SASL mechanisms that a provider offers, of those that take a
// bearer token.
type mechanisms uint8

const (
	offersXOAUTH2 mechanisms = 1 << iota
	offersOAUTHBEARER
)

// mechanismOf returns the mechanism with that name, in upper case.
func mechanismOf(name string) mechanisms {
	switch name {
	case "XOAUTH2":
		return offersXOAUTH2
	case "OAUTHBEARER":
		return offersOAUTHBEARER
	}
	return 0
}

// emptyAnswer is the answer to a challenge that holds an error: an empty line, or for
// OAUTHBEARER %x01 in base64 (RFC 7628 section 3.2.3).
var emptyAnswer = map[string]string{"XOAUTH2": "", "OAUTHBEARER": "AQ=="}

// MaxResponse is the longest response that every server must take, in octets of base64
// without the CRLF (RFC 4954 section 4).
const MaxResponse = 12288

// maxCommandLine is the longest command line that every server must take, in octets with
// its CRLF (RFC 5321 section 4.5.3.1.4). An initial response must not make AUTH longer
// (RFC 4954 section 4).
const maxCommandLine = 512

// AuthForm is how the response of AUTH is sent.
type AuthForm uint8

const (
	// FormInitial sends it in the AUTH command, as initial response.
	FormInitial AuthForm = iota + 1
	// FormAlone sends it on a line of its own, after the provider's 334.
	FormAlone
)

// Other returns the other one of the two forms.
func (f AuthForm) Other() AuthForm {
	if f == FormInitial {
		return FormAlone
	}
	return FormInitial
}

// String is the word for logs.
func (f AuthForm) String() string {
	if f == FormInitial {
		return "initial response"
	}
	return "response after 334"
}

// Fits reports whether AUTH with the response, in base64, as its initial response is a
// command line that every server takes.
func Fits(mechanism string, response []byte) bool {
	return len("AUTH ")+len(mechanism)+len(" ")+len(response)+len("\r\n") <= maxCommandLine
}

// AuthAnswer is how a provider answered AUTH.
type AuthAnswer struct {
	// Reply is the last one.
	Reply codec.Reply
	// Challenged: before it came a 334 with the error, which Challenge is, in base64. The
	// provider has understood the response then.
	Challenged bool
	Challenge  string
}

// Err returns what the answer means for the login; nil after 235.
func (a *AuthAnswer) Err() *Error { return expect(throttle.PhaseAuth, a.Reply, 235) }

// Auth runs AUTH once (RFC 4954), with the response in base64, in one of the forms. A
// provider that refuses a token may send a challenge with the reason first, which is to
// be answered before it sends the refusal. An empty 334 after an initial response is no
// such challenge: the provider passed the initial response over and asks for it.
func (l *Login) Auth(mechanism string, response []byte, form AuthForm) (a AuthAnswer, err *Error) {
	if l.Offer.mechanisms&mechanismOf(mechanism) == 0 {
		return a, &Error{Phase: throttle.PhaseAuth, Err: fmt.Errorf("%w: AUTH %s is not offered", ErrProtocol, mechanism)}
	}
	ask := func(line string, secret []byte) bool {
		command := make([]byte, 0, len(line)+len(secret)+len("\r\n"))
		command = append(append(append(command, line...), secret...), "\r\n"...)
		a.Reply, err = l.ask(throttle.PhaseAuth, command, l.cfg.Login)
		clear(command)
		a.Reply.Text = hideEcho(a.Reply.Text, response)
		return err == nil && a.Reply.Code == 334
	}
	var more bool
	if form == FormInitial {
		more = ask("AUTH "+mechanism+" ", response)
	} else {
		more = ask("AUTH "+mechanism, nil)
	}
	if more && (form == FormAlone || strings.TrimSpace(a.Reply.Text) == "") {
		more = ask("", response)
	}
	if more {
		a.Challenged, a.Challenge = true, a.Reply.Text
		ask(emptyAnswer[mechanism], nil)
	}
	return a, err
}

// Unasked returns what the provider says after its reply of success to AUTH, which is
// why the connection is of no use; nil if it says nothing.
func (l *Login) Unasked() *Error {
	if !l.in.buffered() {
		return nil
	}
	reply, err := l.ask(throttle.PhaseAuth, nil, l.cfg.Login)
	if err == nil {
		err = expect(throttle.PhaseAuth, reply, 0)
	}
	l.in.broken = true
	return err
}

// echoLength is the length from which on a part of the response in a reply is taken for
// an echo of it, in octets.
const echoLength = 16

// hideEcho replaces what a provider's reply repeats of the response: some quote the line
// that they did not understand.
func hideEcho(text string, response []byte) string {
	for _, word := range strings.FieldsFunc(text, notBase64) {
		if len(word) >= echoLength && bytes.Contains(response, []byte(word)) {
			text = strings.ReplaceAll(text, word, "<secret>")
		}
	}
	return text
}

// notBase64 tells the characters that base64 has not (RFC 4648 section 4).
func notBase64(c rune) bool {
	switch {
	case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '+', c == '/', c == '=':
		return false
	}
	return true
}
