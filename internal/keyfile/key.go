package keyfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// Key is one known key of an object that is read into a T.
type Key[T any] struct {
	// Path is dotted and relative to the object.
	Path string
	// Doc says what the value is, its unit, its default, and what goes wrong at
	// the edges. For a key without Set it says why the key is ignored.
	Doc string
	// Set reads the value. Nil: the key has no effect.
	Set func(*T, *Value)
	// Field returns a pointer to what Set sets; nil if it sets no field at once.
	Field func(*T) any
	// Secret keeps the value out of the report.
	Secret bool
	// Container marks a value that has keys of its own, which the report lists
	// instead.
	Container bool
}

// Set declares a key that sets a field at once. Where two keys set the same
// field, the later one in the table wins.
func Set[T, V any](path string, read Reader[V], field func(*T) *V, doc string) Key[T] {
	return Key[T]{Path: path, Doc: doc, Field: func(t *T) any { return field(t) }, Set: func(t *T, v *Value) {
		if x, ok := read(v); ok {
			target := field(t)
			v.claim(target)
			*target = x
		}
	}}
}

// Given is a value that a file may have left out.
type Given[V any] struct {
	Value V
	// Entry is the key's entry in the report; nil when nothing was given.
	Entry *Entry
}

// OK reports whether a value was given.
func (g Given[V]) OK() bool { return g.Entry != nil }

// Opt declares a key whose effect is decided later, together with others.
func Opt[T, V any](path string, read Reader[V], field func(*T) *Given[V], doc string) Key[T] {
	return Key[T]{Path: path, Doc: doc, Set: func(t *T, v *Value) {
		if x, ok := read(v); ok {
			target := field(t)
			v.claim(target)
			*target = Given[V]{x, v.Entry}
		}
	}}
}

// Secret keeps the value of k out of the report.
func Secret[T any](k Key[T]) Key[T] {
	k.Secret = true
	return k
}

// NoEffect declares a key of the predecessor that has no effect, and why.
func NoEffect[T any](path, reason string) Key[T] {
	return Key[T]{Path: path, Doc: reason}
}

// Table is the known keys of an object, indexed.
type Table[T any] struct {
	// Keys are all keys, in the order in which they are read.
	Keys     []Key[T]
	index    map[string]int  // path to index in Keys
	sections map[string]bool // the proper prefixes of the paths
}

// NewTable returns a table of all keys in groups.
func NewTable[T any](groups ...[]Key[T]) *Table[T] {
	t := &Table[T]{
		Keys:     slices.Concat(groups...),
		index:    make(map[string]int),
		sections: make(map[string]bool),
	}
	for i, k := range t.Keys {
		if _, ok := t.index[k.Path]; ok {
			panic("keyfile: key declared twice: " + k.Path)
		}
		t.index[k.Path] = i
		for at, c := range k.Path {
			if c == '.' {
				t.sections[k.Path[:at]] = true
			}
		}
	}
	return t
}

// Find returns the key of that path; ok is false if there is none.
func (tb *Table[T]) Find(path string) (k *Key[T], ok bool) {
	i, ok := tb.index[path]
	if !ok {
		return nil, false
	}
	return &tb.Keys[i], true
}

// Apply reads the object obj, which stands at the given place, into t. Keys are
// applied in the order of the table. It returns which entries set which fields.
func (tb *Table[T]) Apply(f *File, obj hujson.Value, at Place, t *T) Claims {
	var room [128]*hujson.Value // more than any table has, or else it is made larger
	found := append(room[:0], make([]*hujson.Value, len(tb.Keys))...)
	tb.collect(f, obj, "", at, found)
	by := f.newClaims()
	v := new(Value) // no reader keeps it
	for i := range tb.Keys {
		if found[i] == nil {
			continue
		}
		k := &tb.Keys[i]
		*v = Value{File: f, Node: *found[i], Place: at.Child(k.Path), path: k.Path, doc: k.Doc, claims: by}
		if !k.Container {
			v.Entry = f.newEntry()
			v.Entry.File, v.Entry.Line, v.Entry.Key, v.Entry.Count = f.Name, v.line(), v.Place.General, 1
			if !k.Secret {
				v.Entry.Value = v.brief()
			}
		}
		before := len(*f.Problems)
		if k.Set == nil {
			v.Entry.Status, v.Entry.Note = Ignored, k.Doc
		} else {
			k.Set(t, v)
		}
		if v.Entry != nil && len(*f.Problems) == before {
			f.Report.Add(v.Entry)
		}
	}
	return by
}

// collect finds the known keys of obj, whose path in the table is section.
func (tb *Table[T]) collect(f *File, obj hujson.Value, section string, at Place, found []*hujson.Value) {
	object, ok := obj.Value.(*hujson.Object)
	if !ok {
		f.Problem(obj, strings.TrimSuffix(at.Exact+section, "."), `must be an object, "{...}"`)
		return
	}
	for m := range object.Members {
		name, val := MemberName(object, m), &object.Members[m].Value
		path := section + name
		i, known := tb.index[path]
		switch {
		case strings.HasPrefix(name, "_"): // a note
		case known && IsNull(val): // as if it were not there
		case known:
			if first := found[i]; first != nil {
				f.Passing = true // the lines of the file move
				f.AddEntry(*first, at.General+path, Ignored, fmt.Sprintf("given again on line %d", f.Line(val.StartOffset)))
			}
			found[i] = val
		case tb.sections[path] && IsNull(val):
		case tb.sections[path]:
			tb.collect(f, *val, path+".", at, found)
		default:
			f.AddEntry(*val, at.General+Printable(path), Unknown, "it has no effect")
		}
	}
}
