package upstream

import (
	"encoding/json"
	"fmt"
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
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
var emptyAnswer = map[string]string{"XOAUTH2": "\r\n", "OAUTHBEARER": "AQ==\r\n"}

// auth sends AUTH with the initial response of the account's mechanism. Some
// providers refuse a token with a challenge that holds the reason, which is to
// be answered and only then followed by the refusal.
func (w *worker) auth(c *conn, tok *oauth.Token) *Error {
	cfg := &w.relay.cfg
	name := "XOAUTH2"
	if c.account.Mechanism == account.MechanismOAUTHBEARER {
		name = "OAUTHBEARER"
	}
	if c.mechanisms&mechanismOf(name) == 0 {
		return &Error{Phase: PhaseAuth, Err: fmt.Errorf("%w: AUTH %s is not offered", ErrProtocol, name)}
	}
	initial := tok.InitialResponse(c.account.Mechanism)
	command := make([]byte, 0, len(initial)+len("AUTH OAUTHBEARER \r\n"))
	command = append(command, "AUTH "+name+" "...)
	command = append(command, initial...)
	command = append(command, "\r\n"...)
	reply, err := w.ask(c, PhaseAuth, command, cfg.LoginTimeout)
	clear(command)
	if err != nil {
		return err
	}
	var challenge string
	if reply.Code == 334 {
		challenge = reply.Text
		if reply, err = w.ask(c, PhaseAuth, []byte(emptyAnswer[name]), cfg.LoginTimeout); err != nil {
			return err
		}
	}
	if err = expect(PhaseAuth, reply, 235); err != nil {
		err.explainAuth(c.account, challenge)
	}
	return err
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
	e.class, e.hint = oauth.ExplainAuthRefusal(a.Provider, e.Reply.Code, enhanced, e.Reply.Text, challenge)
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
	return cut(c.Status)
}

// tokenRefused reports whether another access token may help.
func tokenRefused(e *Error) bool {
	return e.Phase == PhaseAuth && e.verdict().account == accountToken
}
