package accountfile

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
)

// List is the content of a file of accounts while it is edited. It holds
// secrets.
type List struct {
	head, tail []byte        // of the text, around the array
	array      *hujson.Array // of the accounts
	indent     string        // of the line on which the key of the array stands
	changed    bool
	index      *listIndex // nil: not made yet, or no longer right
	pause      func()     // called between two accounts; nil: nothing waits
}

// newList takes the file called name in messages apart.
func newList(name string, from source, pause func()) (*List, error) {
	l := &List{pause: pause}
	var ps keyfile.Problems
	var values []hujson.Value
	p := takeApart(name, from, &ps, func() taker {
		values = values[:0]
		return func(p *piece) (known bool, err error) {
			v, err := parsePiece(bytes.Clone(p.text[p.gap:]), p.depth)
			values = append(values, v)
			l.rest()
			return false, err
		}
	})
	if p.array == nil {
		return nil, ps.Err()
	}
	for i, v := range values {
		p.array.Elements[i].Value = v.Value
	}
	l.head, l.array, l.tail, l.indent = p.head, p.array, p.tail, p.indent
	return l, nil
}

// pack returns the text of the file.
func (l *List) pack() []byte {
	b := bytes.Clone(l.head)
	elements := l.array.Elements
	for i := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, elements[i].Pack()...)
		l.rest()
	}
	if n := len(elements); n > 0 && elements[n-1].AfterExtra != nil { // a trailing comma
		b = append(b, ',')
	}
	return slices.Concat(b, l.array.AfterExtra, l.tail)
}

// Len is the number of accounts.
func (l *List) Len() int { return len(l.array.Elements) }

// rest is for between two accounts.
func (l *List) rest() {
	if l.pause != nil {
		l.pause()
	}
}

// Has reports whether there is an account with that email.
func (l *List) Has(email string) bool { return l.byEmail(email) != nil }

// Add puts an account at the end. ErrAccountExists: the email is in use.
func (l *List) Add(e *Entry) error {
	if l.Has(e.Email()) {
		return fmt.Errorf("%w: %s", ErrAccountExists, e.Email())
	}
	l.append(e)
	return nil
}

// Put adds an account, or sets the keys of e in the one that has its email; all
// other keys of that one stay. It reports whether there was one.
func (l *List) Put(e *Entry) (replaced bool) {
	object := l.byEmail(e.Email())
	if object == nil {
		l.append(e)
		return false
	}
	l.forget(object) // its names may be others afterwards
	for _, k := range e.keys {
		setMember(object, k, e.values[k])
	}
	l.changed = true
	if l.remember(object); l.index != nil && l.index.twice {
		l.index = nil // it may be in front of the other one
	}
	return true
}

// Remove takes the account with that email, or else with that account_id, out,
// with the comment in front of it. ErrNoAccount: there is none.
func (l *List) Remove(name string) error { return l.remove(name, l.find(name)) }

// RemoveEmail is Remove for those who mean an email.
func (l *List) RemoveEmail(email string) error { return l.remove(email, l.byEmail(email)) }

func (l *List) remove(name string, object *hujson.Object) error {
	if object == nil {
		return fmt.Errorf("%w: %s", ErrNoAccount, name)
	}
	l.forget(object)
	removeElement(l.array, slices.IndexFunc(l.array.Elements, func(v hujson.Value) bool { return v.Value == hujson.ValueTrimmed(object) }))
	l.changed = true
	return nil
}

// Clear takes all accounts out.
func (l *List) Clear() {
	l.changed = l.changed || len(l.array.Elements) > 0
	l.array.Elements = nil
	l.array.AfterExtra = nil
	l.index = nil
}

// ReplaceStrings calls change for each string value of a key in keys, with the
// email of its account; what it returns takes the value's place.
func (l *List) ReplaceStrings(keys []string, change func(email, key, value string) (string, error)) error {
	for i := range l.array.Elements {
		object, ok := l.array.Elements[i].Value.(*hujson.Object)
		if !ok {
			continue
		}
		for _, key := range keys {
			old := stringMember(object, key)
			if old == "" {
				continue
			}
			value, err := change(emailOf(object), key, old)
			if err != nil {
				return err
			}
			if value != old {
				setMember(object, key, hujson.Value{Value: hujson.String(value)})
				l.changed = true
			}
		}
	}
	return nil
}

// append adds an element at the end, in the style of those that are there.
func (l *List) append(e *Entry) {
	l.changed = true
	st := l.style()
	v := e.value(st)
	before := " "
	if st.elements != "" {
		before = st.elements
	}
	if n := len(l.array.Elements); n > 0 {
		if l.array.Elements[n-1].AfterExtra != nil { // a trailing comma
			v.AfterExtra = hujson.Extra{}
		}
		same, rest := splitLine(l.array.AfterExtra)
		v.BeforeExtra = behind(same, before)
		l.array.AfterExtra = rest
	} else {
		// The comments of an empty list go first.
		v.BeforeExtra = behind(bytes.TrimRight(l.array.AfterExtra, " \t\r\n"), before)
		l.array.AfterExtra = hujson.Extra(st.closing)
	}
	l.array.Elements = append(l.array.Elements, v)
	if object, ok := asObject(&v); ok {
		l.remember(object)
	}
}
