package verify

import (
	"errors"
	"strings"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// Failure is why an account does not work, for people and for programs.
type Failure struct {
	// Phase is how far it came: "token", "connect", "AUTH" ...
	Phase string `json:"phase"`
	// Class is a short name in snake_case.
	Class string `json:"class"`
	// Message is what happened, Hint what to do; one line each. HintID names the entry of
	// the catalogue that Hint is from.
	Message string `json:"message"`
	Hint    string `json:"hint"`
	HintID  string `json:"hint_id"`
	// Permanent says that a person must act.
	Permanent bool `json:"permanent"`
}

// Text returns the failure in one line.
func (f Failure) Text() string {
	if f.Hint == "" || strings.Contains(f.Message, f.Hint) {
		return f.Message
	}
	return f.Message + ": " + f.Hint
}

// Explain says what an error of a token request or of a login means.
func Explain(err error) Failure {
	f := Failure{Class: "failed", Message: err.Error()}
	up, login := errors.AsType[*upstream.Error](err)
	if login {
		f.Phase, f.Class = up.Phase.String(), strings.ReplaceAll(strings.ToLower(up.Phase.String()), " ", "_")+"_failed"
	}
	if token, ok := errors.AsType[*oauth.Error](err); ok {
		f.Phase, f.Class, f.Permanent = "token", token.Class.String(), token.Permanent()
		f.explain(token.Entry())
		f.Message = strings.TrimSuffix(token.Public(), ": "+f.Hint)
		if token.Err != nil {
			f.Message += ": " + token.Err.Error()
		}
		return f
	}
	if login {
		if class, _, ok := up.Explain(); ok {
			f.Class, f.Permanent = class.String(), class.Permanent()
		}
		f.explain(up.Entry())
	}
	return f
}

func (f *Failure) explain(id hint.ID) { f.HintID, f.Hint = id.String(), id.Remedy() }
