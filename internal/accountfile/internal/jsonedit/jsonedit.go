// Package jsonedit changes parsed JSON with comments so that all the rest of its text stays
// as it is, comments and layout included.
package jsonedit

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
)

// Member returns the last member of that name, which is the one in force.
func Member(o *hujson.Object, name string) *hujson.Value {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if keyfile.MemberName(o, i) == name {
			return &o.Members[i].Value
		}
	}
	return nil
}

// StringMember returns the string of that name, "" if there is none.
func StringMember(o *hujson.Object, name string) string {
	v := Member(o, name)
	if v == nil {
		return ""
	}
	if lit, ok := v.Value.(hujson.Literal); ok && lit.Kind() == '"' {
		return lit.String()
	}
	return ""
}

// SetMember sets the member of that name, or appends it in the style of the
// last one. A nil value removes it.
func SetMember(o *hujson.Object, name string, v hujson.Value) {
	if v.Value == nil {
		removeMember(o, name)
		return
	}
	indent, lines := MemberIndent(o)
	if old := Member(o, name); old != nil {
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
	// A comment after the last member stays on its line.
	same, rest := SplitLine(o.AfterExtra)
	m.Name.BeforeExtra = AfterComment(same, before)
	o.AfterExtra = rest
	o.Members = append(o.Members, m)
}

// removeMember takes all members of that name out.
func removeMember(o *hujson.Object, name string) {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if keyfile.MemberName(o, i) != name {
			continue
		}
		trailing := o.Members[len(o.Members)-1].Value.AfterExtra != nil
		keep, _ := SplitLine(o.Members[i].Name.BeforeExtra)
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

// RemoveElement takes element i out, with the comments in front of it and after it
// on its line. A comment after the element before it, on the line of that element,
// stays.
func RemoveElement(a *hujson.Array, i int) {
	n := len(a.Elements)
	trailing := a.Elements[n-1].AfterExtra != nil
	keep, _ := SplitLine(a.Elements[i].BeforeExtra)
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

// rejoin joins what stands around a value that goes: keep, the rest of the line of
// the value before, and next without the rest of the line of the value that goes.
func rejoin(keep, next hujson.Extra) hujson.Extra {
	_, rest := SplitLine(next)
	return append(keep, rest...)
}

// AfterComment puts white space after a comment, which may last to the line's end.
func AfterComment(comment hujson.Extra, space string) hujson.Extra {
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

// SplitLine cuts white space and comments at the end of the first line, which
// belongs to the value before. Both parts are copies; same is empty unless there is
// a comment.
func SplitLine(x hujson.Extra) (same, rest hujson.Extra) {
	end := 0
	for end < len(x) && x[end] != '\n' {
		if skipped := keyfile.SkipComment(x, end); skipped > end {
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

// DefaultUnit is one level of indentation.
const DefaultUnit = "  "

// MemberIndent returns the indent of the members of an object; lines is false if
// they stand on one line.
func MemberIndent(o *hujson.Object) (indent string, lines bool) {
	for i := range o.Members {
		if indent, lines = LastIndent(o.Members[i].Name.BeforeExtra); lines {
			return indent, true
		}
	}
	return "", false
}

// LastIndent returns the white space after the last line end; ok is false if
// there is no line end.
func LastIndent(x hujson.Extra) (indent string, ok bool) {
	at := bytes.LastIndexByte(x, '\n')
	if at < 0 {
		return "", false
	}
	line := x[at+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))]), true
}

// styled lays a value out that may have members of its own.
func styled(v hujson.Value, indent string, lines bool) hujson.Value {
	if _, literal := v.Value.(hujson.Literal); literal || !lines {
		return v
	}
	var b bytes.Buffer
	if json.Indent(&b, v.Pack(), indent, DefaultUnit) != nil {
		return v
	}
	out, err := hujson.Parse(b.Bytes())
	if err != nil {
		return v
	}
	return out
}
