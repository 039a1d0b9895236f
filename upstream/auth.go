package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/throttle"
)

// mechanisms are the SASL mechanisms that a provider offers, of those that take
// a bearer token.
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

// emptyAnswer is the answer to a challenge that holds an error: an empty line,
// or for OAUTHBEARER %x01 in base64 (RFC 7628 section 3.2.3).
var emptyAnswer = map[string]string{"XOAUTH2": "", "OAUTHBEARER": "AQ=="}

// auth logs in with the account's mechanism. The response is sent as
// Account.InitialResponse says, unless the endpoint was found to take the other
// form only. A refusal of the form itself has the other one tried, once.
func (w *worker) auth(c *conn, tok *oauth.Token) *Error {
	name := "XOAUTH2"
	if c.account.Mechanism == account.MechanismOAUTHBEARER {
		name = "OAUTHBEARER"
	}
	if c.mechanisms&mechanismOf(name) == 0 {
		return &Error{Phase: PhaseAuth, Err: fmt.Errorf("%w: AUTH %s is not offered", ErrProtocol, name)}
	}
	response := tok.InitialResponse(c.account.Mechanism)
	forms := w.relay.forms
	form := forms.of(c.account.SMTP)
	if form == formUnknown {
		form = formFor(c.account.InitialResponse, len("AUTH ")+len(name)+len(" ")+len(response)+len("\r\n"))
	}
	answer, err := w.exchange(c, name, response, form)
	if err != nil {
		return err
	}
	by := throttle.ProviderOf(c.account)
	if answer.line(by)&throttle.LineForm != 0 {
		// A provider that refuses both forms, or closes, has said it the first time.
		second, err := w.exchange(c, name, response, form.other())
		if err == nil && second.line(by)&throttle.LineForm == 0 {
			answer = second
			if second.understood(by) {
				forms.learn(c.account.SMTP, form.other(), w.relay.log)
			}
		}
	}
	if err = expect(PhaseAuth, answer.reply, 235); err != nil {
		if answer.line(by)&throttle.LineSyntax != 0 {
			err.Err = errLoginSyntax
		}
		err.explainAuth(c.account, answer.challenge)
	}
	return err
}

// authAnswer is how a provider answered AUTH.
type authAnswer struct {
	reply codec.Reply // the last one
	// challenged: before it came a 334 with the error, which challenge is.
	challenged bool
	challenge  string
}

// exchange runs AUTH once, in one of the forms. A provider that refuses a token
// may send a challenge with the reason first, which is to be answered before it
// sends the refusal. An empty 334 after an initial response is no such challenge:
// the provider passed the initial response over and asks for it.
func (w *worker) exchange(c *conn, name string, response []byte, form authForm) (a authAnswer, err *Error) {
	ask := func(line string, secret []byte) bool {
		command := make([]byte, 0, len(line)+len(secret)+len("\r\n"))
		command = append(append(append(command, line...), secret...), "\r\n"...)
		a.reply, err = w.ask(c, PhaseAuth, command, w.relay.cfg.LoginTimeout)
		clear(command)
		a.reply.Text = hideEcho(a.reply.Text, response)
		return err == nil && a.reply.Code == 334
	}
	var more bool
	if form == formInitial {
		more = ask("AUTH "+name+" ", response)
	} else {
		more = ask("AUTH "+name, nil)
	}
	if more && (form == formAlone || strings.TrimSpace(a.reply.Text) == "") {
		more = ask("", response)
	}
	if more {
		a.challenged, a.challenge = true, a.reply.Text
		ask(emptyAnswer[name], nil)
	}
	return a, err
}

// line is what the answer says of the lines of the login; nothing where a challenge
// came before: the provider has understood them then.
func (a *authAnswer) line(by throttle.Provider) throttle.LineEffect {
	if a.challenged {
		return 0
	}
	return throttle.Judge(throttle.Occasion{Provider: by, Phase: PhaseAuth}, &a.reply).Line
}

// understood reports whether the provider has judged the token, which it
// cannot without the response.
func (a *authAnswer) understood(by throttle.Provider) bool {
	return a.challenged || a.reply.Positive() || a.reply.Permanent() && a.line(by) == 0
}

// echoLength is the length from which on a part of the response in a reply is
// taken for an echo of it, in octets.
const echoLength = 16

// hideEcho replaces what a provider's reply repeats of the response: some quote
// the line that they did not understand.
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

// checkResponse refuses a token whose response no server need take, before a
// connection is opened for it.
func checkResponse(a *account.Account, tok *oauth.Token) *Error {
	n := len(tok.InitialResponse(a.Mechanism))
	if n <= maxResponse {
		return nil
	}
	return &Error{Phase: PhaseToken, Err: &oauth.Error{
		Class: oauth.ClassMisconfigured,
		Hint: "the access token is too long to log in with: ask the provider, or the token command, for one with fewer claims " +
			"(groups, roles, scopes)",
		Err: fmt.Errorf("the response of AUTH has %d octets, and SMTP allows %d (RFC 4954 section 4)", n, maxResponse),
	}}
}

// explainAuth adds to a refusal of AUTH what the provider's challenge said, and
// what it all means.
func (e *Error) explainAuth(a *account.Account, challenge string) {
	if status := challengeStatus(challenge); status != "" {
		e.Err = fmt.Errorf("%w (status %s)", e.Err, status)
	}
	if e.Reply.Positive() {
		return // not understood, which is no refusal
	}
	var enhanced string
	if !e.Reply.Enhanced.IsZero() {
		enhanced = e.Reply.Enhanced.String()
	}
	if errors.Is(e.Err, errLoginSyntax) {
		e.class, e.hint = oauth.ClassUnavailable, hintLoginSyntax
		return
	}
	e.class, e.hint = oauth.ExplainAuthRefusal(a.Provider, e.Reply.Code, enhanced, e.Reply.Text, challenge)
}

// errLoginSyntax: the provider did not understand a line of the login. It has
// not judged the token.
var errLoginSyntax = errors.New("not understood, the token was not refused")

const hintLoginSyntax = "the provider did not understand AUTH as it was sent, which is about the length or the form of a line and not about the token: " +
	"providers.NAME.initial_response in config.json chooses the form; auto sends long tokens on a line of their own"

// challengeStatus returns the status in the error challenge of XOAUTH2 and
// OAUTHBEARER, a JSON object in base64.
func challengeStatus(challenge string) string {
	var c struct {
		Status string `json:"status"`
	}
	raw, err := codec.DecodeBase64(nil, []byte(strings.TrimSpace(challenge)))
	if err != nil || json.Unmarshal(raw, &c) != nil {
		return ""
	}
	return cut(c.Status)
}

// tokenRefused reports whether another access token may help.
func tokenRefused(e *Error) bool {
	return e.Phase == PhaseAuth && e.verdict().Account == throttle.AccountToken
}
