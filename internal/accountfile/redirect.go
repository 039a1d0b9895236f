package accountfile

import (
	"xoauth2-proxy/internal/account"
)

// Redirection is what putting an entry into a file would do to the account that
// is there: with other keys than before, its secrets would go elsewhere.
type Redirection struct {
	// Changed are the keys that decide where secrets and tokens go, and that
	// differ afterwards.
	Changed []string
	// Kept are the keys of secrets that the entry leaves as they are.
	Kept []string
	// Was is the account as it is, Will as it would be.
	Was, Will *account.Account
}

// Redirection returns what Put would do with e, nil if there is no such account
// or its secrets stay where they are for. An account that cannot be read, before
// or after, is an error: there is no telling then.
func (l *List) Redirection(b *Basis, e *Entry) (*Redirection, error) {
	object := l.byEmail(e.Email())
	if object == nil {
		return nil, nil
	}
	stored, merged := entryOf(object), entryOf(object)
	for _, k := range e.keys {
		merged.set(k, e.values[k])
	}
	was, err := ReadEntry(b, stored)
	if err != nil {
		return nil, err
	}
	will, err := ReadEntry(b, merged)
	if err != nil {
		return nil, err
	}
	changed := was.Redirected(will)
	if changed == nil {
		return nil, nil
	}
	r := &Redirection{Changed: changed, Was: was, Will: will}
	for _, key := range sentSecrets() {
		if stored.has(key) && !e.has(key) {
			r.Kept = append(r.Kept, key)
		}
	}
	// Some services hand out tokens without any secret, to those who reach them.
	// The account then stands for this host's right to be served.
	if was.TokenFlow() == account.FlowExternal && was.ClientSecret.IsZero() && len(r.Kept) == 0 {
		r.Kept = []string{"oauth_token_url, which asks for no secret,"}
	}
	return r, nil
}

// has reports whether e has a value for key that is more than "".
func (e *Entry) has(key string) bool {
	v, ok := e.values[key]
	return ok && (v.Value.Kind() != '"' || e.Get(key) != "")
}
