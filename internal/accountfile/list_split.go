package accountfile

import (
	"bytes"

	"xoauth2-proxy/internal/keyfile"

	"github.com/tailscale/hujson"
)

// newAccountList is parseAccountList for the program that has m, which rests
// between two accounts if m says so.
func newAccountList(name string, data []byte, m *Cache) (*List, error) {
	if m == nil || m.Pause == nil {
		return parseAccountList(name, data)
	}
	if l := splitAccountList(name, data, m.Pause); l != nil {
		return l, nil
	}
	l, err := parseAccountList(name, data)
	if err != nil {
		return nil, err
	}
	l.pause, l.size = m.Pause, len(data)
	return l, nil
}

// splitAccountList parses data account by account. It returns nil if data is odd,
// or has a mistake in it that parseAccountList finds better words for.
func splitAccountList(name string, data []byte, pause func()) *List {
	from := newSplitter(bytes.NewReader(data))
	head, err := from.head()
	if err != nil {
		return nil
	}
	at := from.at // in data, while nothing was thrown away
	skeleton := bytes.Clone(head)
	s := reading{basis: &Basis{Path: name}}
	var values []hujson.ValueTrimmed
	for {
		text, gap, err := from.next()
		if err != nil {
			return nil
		}
		if text == nil {
			break
		}
		own := data[at+gap : at+len(text)] // what is parsed keeps it
		at += len(text)
		if keyfile.TooDeep(own, from.depth) >= 0 {
			return nil
		}
		node, err := hujson.Parse(own)
		if err != nil || node.StartOffset != 0 || node.EndOffset != len(own) {
			return nil
		}
		skeleton = append(skeleton, text[:gap]...)
		s.marks = append(s.marks, len(skeleton))
		skeleton = append(skeleton, "{}"...)
		values = append(values, node.Value)
		pause()
	}
	if skeleton, err = from.tail(skeleton); err != nil {
		return nil
	}
	f := s.check(skeleton)
	if f == nil {
		return nil
	}
	array := accountArray(f)
	for i, v := range values {
		array.Elements[i].Value = v
	}
	return &List{file: f, array: array, pause: pause, size: len(data)}
}

// pack returns the text of the file.
func (l *List) pack() []byte {
	elements := l.array.Elements
	if l.pause == nil || len(elements) == 0 {
		return l.file.Root.Pack()
	}
	// Packed with one thing and with another in the place of the accounts, what
	// is around them differs there.
	with := func(thing string) []byte {
		l.array.Elements = []hujson.ArrayElement{{Value: hujson.Literal(thing)}}
		return l.file.Root.Pack()
	}
	around, other := with("0"), with("1")
	l.array.Elements = elements
	at := 0
	for around[at] == other[at] {
		at++
	}
	b := append(make([]byte, 0, l.size+l.size/8), around[:at]...)
	for i := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, elements[i].Pack()...)
		l.pause()
	}
	if elements[len(elements)-1].AfterExtra != nil { // a trailing comma
		b = append(b, ',')
	}
	return append(b, around[at+1:]...)
}
