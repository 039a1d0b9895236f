package accountfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/keyfile"
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

// SetList gives key an array of strings; nil takes the key away again.
func (e *Entry) SetList(key string, list []string) {
	if list == nil {
		e.unset(key)
		return
	}
	array := new(hujson.Array)
	for _, s := range list {
		array.Elements = append(array.Elements, hujson.ArrayElement{Value: hujson.String(s)})
	}
	e.set(key, hujson.Value{Value: array})
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
