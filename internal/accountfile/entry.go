package accountfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"xoauth2-proxy/internal/keyfile"

	"github.com/tailscale/hujson"
)

// Entry is one account as it is to stand in a file: keys with their values, in
// order. It holds secrets; formatting it shows none. The zero value is empty.
type Entry struct {
	keys   []string
	values map[string]hujson.Value // without white space and comments
}

// Set gives key a string; an empty one takes the key away again.
func (e *Entry) Set(key, value string) {
	if value == "" {
		e.unset(key)
		return
	}
	e.set(key, hujson.Value{Value: hujson.String(value)})
}

// SetJSON gives key a value in JSON, such as a number; what is not valid is an
// error, which does not show it.
func (e *Entry) SetJSON(key, value string) error {
	v, err := hujson.Parse([]byte(value))
	if err != nil {
		return fmt.Errorf("%s: is no JSON", key)
	}
	v.Minimize()
	e.set(key, v)
	return nil
}

// Remove has Put take the key out of the account that is there.
func (e *Entry) Remove(key string) { e.set(key, hujson.Value{}) }

func (e *Entry) set(key string, v hujson.Value) {
	if e.values == nil {
		e.values = make(map[string]hujson.Value)
	}
	if _, ok := e.values[key]; !ok {
		e.keys = append(e.keys, key)
	}
	e.values[key] = v
}

func (e *Entry) unset(key string) {
	if _, ok := e.values[key]; !ok {
		return
	}
	delete(e.values, key)
	for i, k := range e.keys {
		if k == key {
			e.keys = append(e.keys[:i], e.keys[i+1:]...)
			return
		}
	}
}

// Get returns the string of key, "" if it has none.
func (e *Entry) Get(key string) string {
	if lit, ok := e.values[key].Value.(hujson.Literal); ok && lit.Kind() == '"' {
		return lit.String()
	}
	return ""
}

// Email is the string of the key email.
func (e *Entry) Email() string { return e.Get("email") }

// Text returns the entry as a JSON object on one line, with its secrets.
func (e *Entry) Text() string { return string(e.pack()) }

// Format implements fmt.Formatter, so that no verb shows a secret.
func (e *Entry) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "account "+e.Email()) // the state collects in memory
}

// entryOf takes the members of an object over, notes and nulls left out.
func entryOf(o *hujson.Object) *Entry {
	e := new(Entry)
	for i := range o.Members {
		name, v := keyfile.MemberName(o, i), o.Members[i].Value.Clone()
		if strings.HasPrefix(name, "_") || keyfile.IsNull(&v) {
			continue
		}
		v.Minimize()
		e.set(name, v)
	}
	return e
}

// pack returns the entry as an object on one line.
func (e *Entry) pack() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	comma := ""
	for _, k := range e.keys {
		v := e.values[k]
		if v.Value == nil {
			continue
		}
		b.WriteString(comma)
		b.Write(hujson.String(k))
		b.WriteString(": ")
		b.Write(v.Pack())
		comma = ", "
	}
	b.WriteByte('}')
	return b.Bytes()
}

// value returns the entry as an element of a file in that style.
func (e *Entry) value(st style) hujson.Value {
	packed := e.pack()
	if st.lines {
		var b bytes.Buffer
		if json.Indent(&b, packed, st.indent, st.unit) == nil {
			packed = b.Bytes()
		}
	}
	v, err := hujson.Parse(packed)
	if err != nil { // every part of it was parsed before
		panic("accountfile: a packed entry does not parse")
	}
	return v
}

// style is how the elements of a list are laid out.
type style struct {
	elements string // in front of an element: a line end and its indent; "": all on one line
	closing  string // the same in front of the closing bracket
	lines    bool   // the members of an element have lines of their own
	indent   string // of the lines of an element
	unit     string // one more level
}

const defaultUnit = "  "

// style finds how the list is laid out, from its elements or its surroundings.
func (l *List) style() style {
	st := style{closing: "\n" + l.indent, elements: "\n" + l.indent + defaultUnit, lines: true, indent: l.indent + defaultUnit, unit: defaultUnit}
	if len(l.array.Elements) == 0 {
		return st
	}
	last := &l.array.Elements[len(l.array.Elements)-1]
	indent, ok := lastIndent(l.array.Elements[0].BeforeExtra)
	if !ok {
		st.elements, indent = "", l.indent
	} else {
		st.elements = "\n" + indent
	}
	st.indent = indent
	if object, isObject := last.Value.(*hujson.Object); isObject && len(object.Members) > 0 {
		var inner string
		if inner, st.lines = memberIndent(object); st.lines {
			if unit, deeper := strings.CutPrefix(inner, indent); deeper && unit != "" {
				st.unit = unit
			}
		}
	}
	return st
}

// memberIndent returns the indent of the members of an object; lines is false if
// they stand on one line.
func memberIndent(o *hujson.Object) (indent string, lines bool) {
	for i := range o.Members {
		if indent, lines = lastIndent(o.Members[i].Name.BeforeExtra); lines {
			return indent, true
		}
	}
	return "", false
}

// lastIndent returns the white space behind the last line end; ok is false if
// there is no line end.
func lastIndent(x hujson.Extra) (indent string, ok bool) {
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
	if json.Indent(&b, v.Pack(), indent, defaultUnit) != nil {
		return v
	}
	out, err := hujson.Parse(b.Bytes())
	if err != nil {
		return v
	}
	return out
}
