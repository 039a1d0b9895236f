package accountfile

import "xoauth2-proxy/internal/account"

// Redirection is what putting an entry into a file would do to the account that
// is there, if its secrets would go elsewhere then.
type Redirection struct {
	// Changed are the keys that decide where secrets and tokens go, and that would
	// change.
	Changed []string
	// Kept are the keys of secrets that the entry leaves as they are.
	Kept []string
	// Was is the account as it is, Will as it would be.
	Was, Will *account.Account
}

// Redirection returns what Put would do with e; nil if there is no such account, or
// if its secrets would go where they go now. It fails if the account cannot be read,
// as it is or as it would be.
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
	// Some services give tokens to every host that reaches them, without a secret.
	// The account then stands for the right of this host to be served.
	if was.TokenFlow() == account.FlowExternal && was.ClientSecret.IsZero() && len(r.Kept) == 0 {
		r.Kept = []string{"oauth_token_url, which asks for no secret,"}
	}
	return r, nil
}

// has reports whether e has a value for key other than "".
func (e *Entry) has(key string) bool {
	v, ok := e.values[key]
	return ok && (v.Value.Kind() != '"' || e.Get(key) != "")
}
