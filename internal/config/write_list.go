package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
)

// AccountList is the content of a file of accounts while it is edited. It holds
// secrets.
type AccountList struct {
	file    *file
	array   *hujson.Array
	changed bool
	index   *listIndex // nil: not made yet, or no longer right
	pause   func()     // called between two accounts; nil: nobody waits
	size    int        // of the text, if there are pauses
}

// listIndex finds accounts by name: a list to import may be as long as the file.
// Objects stay what they are when elements move.
type listIndex struct {
	emails, ids map[string]*hujson.Object // of each name the first; emails are folded
	twice       bool                      // some name is there more than once
}

// add takes an account into the index, behind those that are there.
func (x *listIndex) add(o *hujson.Object) {
	put := func(in map[string]*hujson.Object, name string) {
		switch first := in[name]; {
		case name == "" || first == o:
		case first == nil:
			in[name] = o
		default:
			x.twice = true
		}
	}
	put(x.emails, account.FoldLogin(stringMember(o, "email")))
	put(x.ids, stringMember(o, "account_id"))
}

// forget takes an account out of the index. Where a name is there twice, another
// one may have it now: the index is made anew.
func (l *AccountList) forget(o *hujson.Object) {
	x := l.index
	if x == nil || x.twice {
		l.index = nil
		return
	}
	if name := account.FoldLogin(stringMember(o, "email")); x.emails[name] == o {
		delete(x.emails, name)
	}
	if name := stringMember(o, "account_id"); x.ids[name] == o {
		delete(x.ids, name)
	}
}

// remember takes an account into the index, if there is one.
func (l *AccountList) remember(o *hujson.Object) {
	if l.index != nil {
		l.index.add(o)
	}
}

// parseAccountList parses data, which comes from the file called name.
func parseAccountList(name string, data []byte) (*AccountList, error) {
	var ps problems
	f := parseFile(name, data, &ps, new(Report))
	if f == nil {
		return nil, ps.err()
	}
	array := accountArray(f)
	if array == nil {
		return nil, ps.err()
	}
	return &AccountList{file: f, array: array}, nil
}

// Len is the number of accounts.
func (l *AccountList) Len() int { return len(l.array.Elements) }

// indexed returns the index, which it makes if need be.
func (l *AccountList) indexed() *listIndex {
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

// rest is for between two accounts.
func (l *AccountList) rest() {
	if l.pause != nil {
		l.pause()
	}
}

// byEmail returns the account with that email, in any case; nil if there is none.
func (l *AccountList) byEmail(email string) *hujson.Object {
	return l.indexed().emails[account.FoldLogin(email)]
}

// find returns the account with that email, or else with that account_id, which
// may look like the email of another one; nil if there is none.
func (l *AccountList) find(name string) *hujson.Object {
	if object := l.byEmail(name); object != nil {
		return object
	}
	return l.indexed().ids[name]
}

// Has reports whether there is an account with that email.
func (l *AccountList) Has(email string) bool { return l.byEmail(email) != nil }

// Add puts an account at the end. ErrAccountExists: the email is in use.
func (l *AccountList) Add(e *AccountEntry) error {
	if l.Has(e.Email()) {
		return fmt.Errorf("%w: %s", ErrAccountExists, e.Email())
	}
	l.append(e)
	return nil
}

// Put adds an account, or sets the keys of e in the one that has its email; all
// other keys of that one stay. It reports whether there was one.
func (l *AccountList) Put(e *AccountEntry) (replaced bool) {
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
func (l *AccountList) Remove(name string) error { return l.remove(name, l.find(name)) }

// RemoveEmail is Remove for those who mean an email.
func (l *AccountList) RemoveEmail(email string) error { return l.remove(email, l.byEmail(email)) }

func (l *AccountList) remove(name string, object *hujson.Object) error {
	if object == nil {
		return fmt.Errorf("%w: %s", ErrNoAccount, name)
	}
	l.forget(object)
	removeElement(l.array, slices.IndexFunc(l.array.Elements, func(v hujson.Value) bool { return v.Value == hujson.ValueTrimmed(object) }))
	l.changed = true
	return nil
}

// Clear takes all accounts out.
func (l *AccountList) Clear() {
	l.changed = l.changed || len(l.array.Elements) > 0
	l.array.Elements = nil
	l.array.AfterExtra = nil
	l.index = nil
}

// ReplaceStrings calls change for each string value of a key in keys, with the
// email of its account; what it returns takes the value's place.
func (l *AccountList) ReplaceStrings(keys []string, change func(email, key, value string) (string, error)) error {
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

// member returns the last member of that name, which is the one in force.
func member(o *hujson.Object, name string) *hujson.Value {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if memberName(o, i) == name {
			return &o.Members[i].Value
		}
	}
	return nil
}

// stringMember returns the string of that name, "" if there is none.
func stringMember(o *hujson.Object, name string) string {
	v := member(o, name)
	if v == nil {
		return ""
	}
	if lit, ok := v.Value.(hujson.Literal); ok && lit.Kind() == '"' {
		return lit.String()
	}
	return ""
}

// setMember sets the member of that name, or appends it in the style of the
// last one. A nil value removes it.
func setMember(o *hujson.Object, name string, v hujson.Value) {
	if v.Value == nil {
		removeMember(o, name)
		return
	}
	indent, lines := memberIndent(o)
	if old := member(o, name); old != nil {
		old.Value = styled(v, indent, lines).Value
		return
	}
	m := hujson.ObjectMember{Name: hujson.Value{Value: hujson.String(name)}, Value: styled(v, indent, lines)}
	m.Value.BeforeExtra = hujson.Extra(" ")
	before := " "
	if lines {
		before = "\n" + indent
	}
	if n := len(o.Members); n > 0 {
		last := &o.Members[n-1].Value
		if last.AfterExtra != nil { // a trailing comma
			m.Value.AfterExtra = hujson.Extra{}
		}
		if !lines && len(bytes.TrimSpace(o.Members[n-1].Name.BeforeExtra)) == 0 && n > 1 {
			before = string(o.Members[n-1].Name.BeforeExtra)
		}
	} else if !lines {
		before = ""
	}
	// A comment behind the last member stays on its line.
	same, rest := splitLine(o.AfterExtra)
	m.Name.BeforeExtra = behind(same, before)
	o.AfterExtra = rest
	o.Members = append(o.Members, m)
}

// removeMember takes all members of that name out.
func removeMember(o *hujson.Object, name string) {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if memberName(o, i) != name {
			continue
		}
		trailing := o.Members[len(o.Members)-1].Value.AfterExtra != nil
		keep, _ := splitLine(o.Members[i].Name.BeforeExtra)
		next := &o.AfterExtra
		if i+1 < len(o.Members) {
			next = &o.Members[i+1].Name.BeforeExtra
		}
		*next = rejoin(keep, *next)
		o.Members = append(o.Members[:i], o.Members[i+1:]...)
		if n := len(o.Members); n > 0 {
			setTrailing(&o.Members[n-1].Value, trailing)
		}
	}
}

// append adds an element at the end, in the style of those that are there.
func (l *AccountList) append(e *AccountEntry) {
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

// removeElement takes element i out. A comment behind the element before it, on
// that one's line, stays; the comments in front of i, and behind it on its own
// line, go.
func removeElement(a *hujson.Array, i int) {
	n := len(a.Elements)
	trailing := a.Elements[n-1].AfterExtra != nil
	keep, _ := splitLine(a.Elements[i].BeforeExtra)
	next := &a.AfterExtra
	if i+1 < n {
		next = &a.Elements[i+1].BeforeExtra
	}
	*next = rejoin(keep, *next)
	a.Elements = append(a.Elements[:i], a.Elements[i+1:]...)
	if n := len(a.Elements); n > 0 {
		setTrailing(&a.Elements[n-1], trailing)
	}
}

// rejoin puts what was on the line of the value before in front of what
// follows, without what was on the line of the value that goes.
func rejoin(keep, next hujson.Extra) hujson.Extra {
	_, rest := splitLine(next)
	return append(keep, rest...)
}

// behind puts white space behind a comment, which may last to the line's end.
func behind(comment hujson.Extra, space string) hujson.Extra {
	if len(comment) > 0 && !strings.Contains(space, "\n") {
		space = "\n" + space
	}
	return append(bytes.Clone(comment), space...)
}

// setTrailing gives the last value of a list a trailing comma, or none.
func setTrailing(v *hujson.Value, on bool) {
	switch {
	case !on:
		v.AfterExtra = nil
	case v.AfterExtra == nil:
		v.AfterExtra = hujson.Extra{}
	}
}

// splitLine cuts white space and comments at the end of the first line: what
// stands there belongs to the value before. Both parts are copies; same is empty
// unless there is a comment.
func splitLine(x hujson.Extra) (same, rest hujson.Extra) {
	end := 0
	for end < len(x) && x[end] != '\n' {
		if skipped := skipComment(x, end); skipped > end {
			end = skipped // of a comment in /* */ the last octet, also lines below
			if x[min(end, len(x)-1)] == '\n' {
				break
			}
		}
		end++
	}
	end = min(end, len(x))
	if len(bytes.TrimSpace(x[:end])) == 0 {
		return nil, bytes.Clone(x)
	}
	return bytes.Clone(x[:end]), bytes.Clone(x[end:])
}
