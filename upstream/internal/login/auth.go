package login

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// auth logs in with the account's mechanism. The response is sent as
// Account.InitialResponse says, unless the endpoint was found to take the other
// form only. A refusal of the form itself has the other one tried, once. On an error
// the connection is closed.
func (o *Opener) auth(l *smtpclient.Login, a *account.Account, tok *oauth.Token) *failure.Error {
	name, response := mechanismName(a), tok.InitialResponse(a.Mechanism)
	form := o.forms.of(a.SMTP)
	if form == 0 {
		form = formFor(a.InitialResponse, smtpclient.Fits(name, response))
	}
	answer, err := l.Auth(name, response, form)
	by := throttle.ProviderOf(a)
	if err == nil && lineOf(&answer, by)&throttle.LineForm != 0 {
		// A provider that refuses both forms, or closes, has said it the first time.
		second, serr := l.Auth(name, response, form.Other())
		if serr == nil && lineOf(&second, by)&throttle.LineForm == 0 {
			answer = second
			if understood(&second, by) {
				o.forms.learn(a.SMTP, form.Other(), o.Log)
			}
		}
	}
	refused := false
	if err == nil {
		err = answer.Err()
		refused = err != nil
	}
	if err == nil {
		err = l.Unasked()
	}
	if err == nil {
		return nil
	}
	l.Leave(err)
	failed := loginError(err)
	if refused {
		if lineOf(&answer, by)&throttle.LineSyntax != 0 {
			failed.Err = failure.ErrLoginSyntax
		}
		explain(failed, a, answer.Challenge)
	}
	return failed
}

// mechanismName is the name of the account's SASL mechanism.
func mechanismName(a *account.Account) string {
	if a.Mechanism == account.MechanismOAUTHBEARER {
		return "OAUTHBEARER"
	}
	return "XOAUTH2"
}

// lineOf is what the answer says of the lines of the login; nothing where a challenge
// came before: the provider has understood them then.
func lineOf(a *smtpclient.AuthAnswer, by throttle.Provider) throttle.LineEffect {
	if a.Challenged {
		return 0
	}
	return throttle.Judge(throttle.Occasion{Provider: by, Phase: throttle.PhaseAuth}, &a.Reply).Line
}

// understood reports whether the provider has judged the token, which it
// cannot without the response.
func understood(a *smtpclient.AuthAnswer, by throttle.Provider) bool {
	return a.Challenged || a.Reply.Positive() || a.Reply.Permanent() && lineOf(a, by) == 0
}

// checkResponse refuses a token whose response no server need take, before a
// connection is opened for it.
func checkResponse(a *account.Account, tok *oauth.Token) *failure.Error {
	n := len(tok.InitialResponse(a.Mechanism))
	if n <= smtpclient.MaxResponse {
		return nil
	}
	return &failure.Error{Phase: throttle.PhaseToken, Err: &oauth.Error{
		Class: oauth.ClassMisconfigured,
		Hint:  hint.TokenTooLong,
		Err:   fmt.Errorf("the response of AUTH has %d octets, and SMTP allows %d (RFC 4954 section 4)", n, smtpclient.MaxResponse),
	}}
}

// explain adds to a refusal of AUTH what the provider's challenge said, and
// what it all means.
func explain(e *failure.Error, a *account.Account, challenge string) {
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
	if errors.Is(e.Err, failure.ErrLoginSyntax) {
		e.Class, e.Hint = oauth.ClassUnavailable, hint.LoginForm
		return
	}
	e.Class, e.Hint = oauth.ExplainAuthRefusal(a.Provider, e.Reply.Code, enhanced, e.Reply.Text, challenge)
}

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
	return smtpclient.Cut(c.Status)
}

// tokenRefused reports whether another access token may help.
func tokenRefused(e *failure.Error) bool {
	return e.Phase == throttle.PhaseAuth && e.Verdict().Account == throttle.AccountToken
}

// formFor returns the form of a login. fits: AUTH with an initial response is a line
// that every server takes.
func formFor(setting account.InitialResponse, fits bool) smtpclient.AuthForm {
	switch {
	case setting == account.InitialResponseNever, setting != account.InitialResponseAlways && !fits:
		return smtpclient.FormAlone
	}
	return smtpclient.FormInitial
}

// authForms remembers the endpoints that took one form only, by "host:port". It
// is safe for concurrent use, and the zero value is ready.
type authForms struct{ byAddr sync.Map }

// of returns the form that an endpoint was found to take, or 0.
func (f *authForms) of(endpoint account.Endpoint) smtpclient.AuthForm {
	if v, ok := f.byAddr.Load(endpoint.String()); ok {
		return v.(smtpclient.AuthForm)
	}
	return 0
}

// learn notes that an endpoint refused the other form and took this one.
func (f *authForms) learn(endpoint account.Endpoint, form smtpclient.AuthForm, log *zap.Logger) {
	name := endpoint.String()
	if was, known := f.byAddr.Swap(name, form); known && was == form {
		return
	}
	log.Warn("provider takes one form of AUTH only", zap.String("upstream", name), zap.Stringer("form", form))
}
