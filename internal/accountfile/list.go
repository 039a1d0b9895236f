package accountfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
	"xoauth2-proxy/internal/keyfile"
)

var (
	// ErrAccountExists: an account with that email is in the file already.
	ErrAccountExists = errors.New("the account exists already")
	// ErrNoAccount: the file has no account of that name.
	ErrNoAccount = errors.New("there is no such account")
)

// List is a file of accounts while it is edited: the head of the text, the accounts,
// and the tail. It holds secrets.
type List struct {
	head, tail []byte
	array      *hujson.Array
	indent     string // of the line on which the key of the array stands
	changed    bool
	touched    map[*hujson.Object]bool // accounts that are new, or not as they were
	index      *listIndex              // nil: not made yet, or no longer right
	pause      func()                  // called between two accounts; may be nil
}

// newList takes apart the file called name in messages. pause is called between two
// accounts; it may be nil.
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

// rest calls pause, between two accounts.
func (l *List) rest() {
	if l.pause != nil {
		l.pause()
	}
}

// Has reports whether there is an account with that email.
func (l *List) Has(email string) bool { return l.byEmail(email) != nil }

// HasID reports whether there is an account with that account_id in its text.
func (l *List) HasID(id string) bool { return l.indexed().ids[id] != nil }

// Add puts an account at the end. ErrAccountExists: the email is in use.
func (l *List) Add(e *Entry) error {
	if l.Has(e.Email()) {
		return fmt.Errorf("%w: %s", ErrAccountExists, e.Email())
	}
	l.append(e)
	return nil
}

// Put adds an account. If there is one with its email, Put sets the keys of e in it,
// keeps its other keys, and reports true.
func (l *List) Put(e *Entry) (replaced bool) {
	object := l.byEmail(e.Email())
	if object == nil {
		l.append(e)
		return false
	}
	l.forget(object) // its names may change
	for _, k := range e.keys {
		jsonedit.SetMember(object, k, e.values[k])
	}
	l.touch(object)
	if l.remember(object); l.index != nil && l.index.twice {
		l.index = nil // it may stand in front of the other one
	}
	return true
}

// Remove takes the account with that email, or else with that account_id, out,
// with the comment in front of it. ErrNoAccount: there is none.
func (l *List) Remove(name string) error { return l.remove(name, l.find(name)) }

// RemoveEmail is Remove by email alone.
func (l *List) RemoveEmail(email string) error { return l.remove(email, l.byEmail(email)) }

func (l *List) remove(name string, object *hujson.Object) error {
	if object == nil {
		return fmt.Errorf("%w: %s", ErrNoAccount, name)
	}
	l.forget(object)
	jsonedit.RemoveElement(l.array, slices.IndexFunc(l.array.Elements, func(v hujson.Value) bool { return v.Value == hujson.ValueTrimmed(object) }))
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
			old := jsonedit.StringMember(object, key)
			if old == "" {
				continue
			}
			value, err := change(emailOf(object), key, old)
			if err != nil {
				return err
			}
			if value != old {
				jsonedit.SetMember(object, key, hujson.Value{Value: hujson.String(value)})
				l.touch(object)
			}
		}
	}
	return nil
}

// append adds an element at the end, in the style of those that are there.
func (l *List) append(e *Entry) {
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
		same, rest := jsonedit.SplitLine(l.array.AfterExtra)
		v.BeforeExtra = jsonedit.AfterComment(same, before)
		l.array.AfterExtra = rest
	} else {
		// The comments of an empty list go first.
		v.BeforeExtra = jsonedit.AfterComment(bytes.TrimRight(l.array.AfterExtra, " \t\r\n"), before)
		l.array.AfterExtra = hujson.Extra(st.closing)
	}
	l.array.Elements = append(l.array.Elements, v)
	if object, ok := asObject(&v); ok {
		l.remember(object)
		l.touch(object)
	}
}

// touch notes that an account is not as it was.
func (l *List) touch(o *hujson.Object) {
	if l.touched == nil {
		l.touched = make(map[*hujson.Object]bool)
	}
	l.touched[o], l.changed = true, true
}

// objectAt returns the account with that index; nil if it is none.
func (l *List) objectAt(i int) *hujson.Object {
	o, _ := l.array.Elements[i].Value.(*hujson.Object)
	return o
}

// style finds how the list is laid out, from its elements or its surroundings.
func (l *List) style() style {
	st := style{closing: "\n" + l.indent, elements: "\n" + l.indent + jsonedit.DefaultUnit, lines: true, indent: l.indent + jsonedit.DefaultUnit, unit: jsonedit.DefaultUnit}
	if len(l.array.Elements) == 0 {
		return st
	}
	last := &l.array.Elements[len(l.array.Elements)-1]
	indent, ok := jsonedit.LastIndent(l.array.Elements[0].BeforeExtra)
	if !ok {
		st.elements, indent = "", l.indent
	} else {
		st.elements = "\n" + indent
	}
	st.indent = indent
	if object, isObject := last.Value.(*hujson.Object); isObject && len(object.Members) > 0 {
		var inner string
		if inner, st.lines = jsonedit.MemberIndent(object); st.lines {
			if unit, deeper := strings.CutPrefix(inner, indent); deeper && unit != "" {
				st.unit = unit
			}
		}
	}
	return st
}

// forget takes an account out of the index. Where a name is there twice, a second
// account has it: then the index is dropped, and made anew when it is needed.
func (l *List) forget(o *hujson.Object) {
	x := l.index
	if x == nil || x.twice {
		l.index = nil
		return
	}
	if name := account.FoldLogin(jsonedit.StringMember(o, "email")); x.emails[name] == o {
		delete(x.emails, name)
	}
	if name := jsonedit.StringMember(o, "account_id"); x.ids[name] == o {
		delete(x.ids, name)
	}
}

// remember takes an account into the index, if there is one.
func (l *List) remember(o *hujson.Object) {
	if l.index != nil {
		l.index.add(o)
	}
}

// indexed returns the index, which it makes if need be.
func (l *List) indexed() *listIndex {
	if l.index == nil {
		n := len(l.array.Elements)
		l.index = &listIndex{emails: make(map[string]*hujson.Object, n), ids: make(map[string]*hujson.Object, n)}
		for i := range l.array.Elements {
			if object, ok := l.array.Elements[i].Value.(*hujson.Object); ok {
				l.index.add(object)
			}
			l.rest()
		}
	}
	return l.index
}

// byEmail returns the account with that email, in any case; nil if there is none.
func (l *List) byEmail(email string) *hujson.Object {
	return l.indexed().emails[account.FoldLogin(email)]
}

// find returns the account with that email, or else the one with that account_id;
// nil if there is none. An account_id may look like the email of another account.
func (l *List) find(name string) *hujson.Object {
	if object := l.byEmail(name); object != nil {
		return object
	}
	return l.indexed().ids[name]
}
