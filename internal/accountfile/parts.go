package accountfile

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
	"xoauth2-proxy/internal/accountfile/internal/split"
	"xoauth2-proxy/internal/keyfile"
)

// parts is a file of accounts without its pieces.
type parts struct {
	// file is the rest of the file. Where accounts were there is {} or nothing, unless
	// the file was parsed as a whole. Nil: it cannot be parsed.
	file *keyfile.File
	// array is the array of accounts in it; nil: there is none.
	array *hujson.Array
	// head ends with the bracket that begins the array, and tail begins with the
	// one that ends it.
	head, tail []byte
	// indent is that of the line on which the key of the array stands.
	indent string
}

// piece is one account of a file, with the gap in front of it.
type piece struct {
	text   []byte // of the gap and of the account; it changes after take
	gap    int    // octets of white space, comments and commas
	index  int    // of the account
	before int    // lines of the file in front of text
	depth  int    // of the array of accounts: 1 or 2
}

// line returns the line, from 1, on which the account begins.
func (p *piece) line() int { return p.before + countLines(p.text[:p.gap]) + 1 }

// next makes p the next piece.
func (p *piece) next() {
	p.before += countLines(p.text)
	p.index++
}

// parsePiece parses the text of an account, which the value then keeps.
func parsePiece(text []byte, depth int) (hujson.Value, error) {
	v, ok := keyfile.ParseValue(text, depth)
	if !ok {
		return hujson.Value{}, split.ErrOddFile
	}
	return v, nil
}

// taker takes the pieces of a file, in order. known says that the file is as right or
// as wrong without the piece.
type taker func(*piece) (known bool, err error)

// source is where the text of a file comes from.
type source struct {
	from io.Reader
	// whole returns all of the text; from was read, maybe in part.
	whole func() ([]byte, error)
}

func inMemory(data []byte) source {
	return source{bytes.NewReader(data), func() ([]byte, error) { return data, nil }}
}

// takeApart takes apart the file of accounts called name in messages. It hands the
// pieces to the taker that begin returns, as they are read. If the file is not laid
// out as a splitter expects it, or has a mistake in it, it is parsed as a whole, and
// begin is called again. Problems go to ps.
func takeApart(name string, from source, ps *keyfile.Problems, begin func() taker) parts {
	if p, err := takePieces(name, split.New(from.from, split.Window), begin()); err == nil {
		return p
	}
	data, err := from.whole()
	if err != nil {
		ps.Add(&keyfile.Problem{File: name, Message: err.Error()})
		return parts{}
	}
	return cutUp(name, data, ps, begin())
}

// takePieces takes a file apart as it is read.
func takePieces(name string, from *split.Splitter, take taker) (parts, error) {
	head, err := from.Head()
	if err != nil {
		return parts{}, err
	}
	skeleton := bytes.Clone(head)
	var marks []int // the offsets of {} in the skeleton
	p := piece{before: countLines(head), depth: from.Depth()}
	for {
		if p.text, p.gap, err = from.Next(); err != nil {
			return parts{}, err
		}
		if p.text == nil {
			break
		}
		known, err := take(&p)
		if err != nil {
			return parts{}, err
		}
		if !known {
			skeleton = append(skeleton, p.text[:p.gap]...)
			marks = append(marks, len(skeleton))
			skeleton = append(skeleton, "{}"...)
		}
		p.next()
	}
	end, cut := len(skeleton), p.before-countLines(skeleton)
	if skeleton, err = from.Tail(skeleton); err != nil {
		return parts{}, err
	}
	f := keyfile.Parse(name, skeleton, new(keyfile.Problems), new(keyfile.Report))
	if f == nil {
		return parts{}, split.ErrOddFile
	}
	f.Cut(end, cut)
	array := accountArray(f)
	if array == nil || !marked(array.Value.(*hujson.Array).Elements, marks) {
		return parts{}, split.ErrOddFile
	}
	return partsAround(f, skeleton, array), nil
}

// marked reports whether the elements are {} at these offsets: each account was taken
// out of an element of the array of accounts, and there are no others. Those that
// are known follow on them.
func marked(elements []hujson.ArrayElement, marks []int) bool {
	return slices.EqualFunc(elements, marks, func(e hujson.ArrayElement, mark int) bool {
		return e.StartOffset == mark && e.EndOffset == mark+len("{}")
	})
}

// cutUp parses a file as a whole, and then takes it apart.
func cutUp(name string, data []byte, ps *keyfile.Problems, take taker) parts {
	f := keyfile.Parse(name, data, ps, new(keyfile.Report))
	if f == nil {
		return parts{}
	}
	array := accountArray(f)
	if array == nil {
		return parts{file: f}
	}
	data = bytes.TrimPrefix(data, []byte(keyfile.ByteOrderMark))
	at := array.StartOffset + 1
	p := piece{before: countLines(data[:at]), depth: 1}
	if _, ok := f.Root.Value.(*hujson.Object); ok {
		p.depth = 2
	}
	for _, e := range array.Value.(*hujson.Array).Elements {
		p.text, p.gap = data[at:e.EndOffset], e.StartOffset-at
		if _, err := take(&p); err != nil {
			ps.Add(&keyfile.Problem{File: name, Line: p.line(), Message: err.Error()})
			return parts{}
		}
		p.next()
		at = e.EndOffset
	}
	return partsAround(f, data, array)
}

// partsAround returns what is around the array in the text of f.
func partsAround(f *keyfile.File, text []byte, array *hujson.Value) parts {
	p := parts{file: f, array: array.Value.(*hujson.Array), head: text[:array.StartOffset+1], tail: text[array.EndOffset-1:]}
	if p.tail[len(p.tail)-1] != '\n' { // a comment may end the file
		p.tail = append(bytes.Clone(p.tail), '\n')
	}
	if root, ok := f.Root.Value.(*hujson.Object); ok {
		for i := range root.Members {
			if &root.Members[i].Value == array {
				p.indent, _ = jsonedit.LastIndent(root.Members[i].Name.BeforeExtra)
			}
		}
	}
	return p
}

func countLines(text []byte) int { return bytes.Count(text, []byte("\n")) }

// accountArray finds the array of accounts: the root, or "accounts" in it; nil after a
// problem.
func accountArray(f *keyfile.File) (array *hujson.Value) {
	switch root := f.Root.Value.(type) {
	case *hujson.Array:
		return &f.Root
	case *hujson.Object:
		for i := range root.Members {
			name, node := keyfile.MemberName(root, i), &root.Members[i].Value
			switch {
			case name == "accounts":
				if node.Value.Kind() != '[' {
					f.Problem(*node, "accounts", "must be an array of accounts")
					return nil
				}
				array = node
			case !strings.HasPrefix(name, "_"):
				f.AddEntry(*node, keyfile.Printable(name), keyfile.Unknown, "it has no effect")
			}
		}
		if array != nil {
			return array
		}
	}
	f.Problem(f.Root, "", `must be an array of accounts, or an object with the array "accounts"`)
	return nil
}
