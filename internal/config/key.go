package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// key is one known key of an object that is read into a T.
type key[T any] struct {
	// path is dotted and relative to the object.
	path string
	// doc says what the value is, its unit, its default, and what goes wrong at
	// the edges. For a key without set it says why the key is ignored.
	doc string
	// set reads the value. Nil: the key has no effect.
	set func(*T, *value)
	// secret keeps the value out of the report.
	secret bool
	// container marks a value that has keys of its own, which the report lists
	// instead.
	container bool
}

// set declares a key that sets a field at once. Where two keys set the same
// field, the later one in the table wins.
func set[T, V any](path string, read reader[V], field func(*T) *V, doc string) key[T] {
	return key[T]{path: path, doc: doc, set: func(t *T, v *value) {
		if x, ok := read(v); ok {
			target := field(t)
			v.claim(target)
			*target = x
		}
	}}
}

// given is a value that a file may have left out.
type given[V any] struct {
	value V
	// entry is the key's entry in the report; nil when nothing was given.
	entry *Entry
}

func (g given[V]) ok() bool { return g.entry != nil }

// opt declares a key whose effect is settled later, together with others.
func opt[T, V any](path string, read reader[V], field func(*T) *given[V], doc string) key[T] {
	return key[T]{path: path, doc: doc, set: func(t *T, v *value) {
		if x, ok := read(v); ok {
			target := field(t)
			v.claim(target)
			*target = given[V]{x, v.entry}
		}
	}}
}

// secret keeps the value of k out of the report.
func secret[T any](k key[T]) key[T] {
	k.secret = true
	return k
}

// ignored declares a key of the original that has no effect, and why.
func ignored[T any](path, reason string) key[T] {
	return key[T]{path: path, doc: reason}
}

// table is the known keys of an object, indexed.
type table[T any] struct {
	keys     []key[T]
	index    map[string]int  // path to index in keys
	sections map[string]bool // the proper prefixes of the paths
}

func newTable[T any](groups ...[]key[T]) *table[T] {
	t := &table[T]{
		keys:     slices.Concat(groups...),
		index:    make(map[string]int),
		sections: make(map[string]bool),
	}
	for i, k := range t.keys {
		if _, ok := t.index[k.path]; ok {
			panic("config: key declared twice: " + k.path)
		}
		t.index[k.path] = i
		for at, c := range k.path {
			if c == '.' {
				t.sections[k.path[:at]] = true
			}
		}
	}
	return t
}

// place is where an object stands: what its keys are called in problems and,
// with indices left out, in the report. Both end in "." when not empty.
type place struct{ exact, general string }

// claims says which entry of the report set a field, by pointer to the field.
type claims map[any]*Entry

// apply reads the object obj, which stands at the given place, into t. Keys are
// applied in the order of the table. It returns who set what.
func (tb *table[T]) apply(f *file, obj hujson.Value, at place, t *T) claims {
	var room [128]*hujson.Value // more than any table has, or else it is made larger
	found := append(room[:0], make([]*hujson.Value, len(tb.keys))...)
	tb.collect(f, obj, "", at, found)
	by := f.newClaims()
	v := new(value) // no reader keeps it
	for i := range tb.keys {
		if found[i] == nil {
			continue
		}
		k := &tb.keys[i]
		*v = value{f: f, node: *found[i], place: place{at.exact + k.path, at.general + k.path}, path: k.path, doc: k.doc, claims: by}
		if !k.container {
			v.entry = f.newEntry()
			v.entry.File, v.entry.Line, v.entry.Key, v.entry.Count = f.name, v.line(), v.place.general, 1
			if !k.secret {
				v.entry.Value = v.brief()
			}
		}
		before := len(*f.problems)
		if k.set == nil {
			v.entry.Status, v.entry.Note = Ignored, k.doc
		} else {
			k.set(t, v)
		}
		if v.entry != nil && len(*f.problems) == before {
			f.report.add(v.entry)
		}
	}
	return by
}

// collect finds the known keys of obj, whose path in the table is section.
func (tb *table[T]) collect(f *file, obj hujson.Value, section string, at place, found []*hujson.Value) {
	object, ok := obj.Value.(*hujson.Object)
	if !ok {
		f.problem(obj, strings.TrimSuffix(at.exact+section, "."), `must be an object, "{...}"`)
		return
	}
	for m := range object.Members {
		name, val := memberName(object, m), &object.Members[m].Value
		path := section + name
		i, known := tb.index[path]
		switch {
		case strings.HasPrefix(name, "_"): // a note
		case known && isNull(val): // as if it were not there
		case known:
			if first := found[i]; first != nil {
				f.passing = true // the lines of the file move
				f.entry(*first, at.general+path, Ignored, fmt.Sprintf("given again on line %d", f.line(val.StartOffset)))
			}
			found[i] = val
		case tb.sections[path] && isNull(val):
		case tb.sections[path]:
			tb.collect(f, *val, path+".", at, found)
		default:
			f.entry(*val, at.general+printable(path), Unknown, "it has no effect")
		}
	}
}

// memberName returns the name of member i.
func memberName(o *hujson.Object, i int) string {
	return unquote(o.Members[i].Name.Value.(hujson.Literal))
}

// emailOf returns the email of an account as a reader of the file takes it: of
// several, the last one that is not null.
func emailOf(o *hujson.Object) string {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if memberName(o, i) != "email" || isNull(&o.Members[i].Value) {
			continue
		}
		if lit, ok := o.Members[i].Value.Value.(hujson.Literal); ok && lit.Kind() == '"' {
			return strings.TrimSpace(lit.String())
		}
		return ""
	}
	return ""
}

func isNull(v *hujson.Value) bool { return v.Value.Kind() == 'n' }

// printable makes a key of a file fit for one line of a report.
func printable(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.Trim(fmt.Sprintf("%q", s), `"`)
}

// problem adds a problem with the value at node.
func (f *file) problem(node hujson.Value, key, format string, args ...any) {
	f.problems.add(&Problem{File: f.name, Line: f.line(node.StartOffset), Key: key, Message: fmt.Sprintf(format, args...)})
}

// entry adds an entry for the value at node to the report.
func (f *file) entry(node hujson.Value, key string, status Status, note string) {
	f.report.add(&Entry{File: f.name, Line: f.line(node.StartOffset), Key: key, Status: status, Note: note, Count: 1})
}
