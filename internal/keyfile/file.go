package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/internal/seal"
)

const (
	// ByteOrderMark may begin a file: editors on Windows write it.
	ByteOrderMark = "\ufeff"
	// MaxSize bounds a file in octets: room for 100,000 accounts.
	MaxSize = 128 << 20
	// MaxDepth bounds the nesting of values, since the parser recurses. The
	// deepest key that means anything is four deep.
	MaxDepth = 64
)

// File is one parsed file, or part of one, and where its problems and notes go.
type File struct {
	// Name is what the file is called in messages.
	Name string
	Root hujson.Value
	// Keys open sealed values; may be nil. Account is the email of the account that
	// is being read, which sealed values are bound to; empty for config.json.
	Keys     *seal.Keyring
	Account  string
	Problems *Problems
	Report   *Report
	// Passing says that the same text may read otherwise another time, with the
	// same settings: a secret is in another file, for example.
	Passing bool
	// Lenient is for programs that need no secrets: a reference that cannot be resolved
	// here, or a sealed value without its key, stands for itself. Unresolved says that
	// there was one.
	Lenient, Unresolved bool

	lines    []int // offsets of the line ends, ascending
	before   int   // lines in front of the part
	cutAt    int   // the offset where lines were taken out
	cutLines int   // how many
	spare    *spare
}

// Open reads and parses the file at path. The problems of reading and of
// syntax go to ps; then it returns nil.
func Open(path string, ps *Problems, report *Report) *File {
	data, err := Read(path)
	if err != nil {
		ps.Add(&Problem{File: path, Message: err.Error()})
		return nil
	}
	return Parse(path, data, ps, report)
}

// Read reads the file at path; the error does not repeat the path.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", WithoutPath(err))
	}
	defer f.Close()
	var data bytes.Buffer
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		data.Grow(int(min(info.Size(), MaxSize)) + bytes.MinRead + 1) // no copies while it grows
	}
	if _, err := data.ReadFrom(io.LimitReader(f, MaxSize+1)); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", WithoutPath(err))
	}
	return data.Bytes(), nil
}

// WithoutPath takes the path, which is printed in front already, out of err.
func WithoutPath(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// Parse parses data, named name in messages.
func Parse(name string, data []byte, ps *Problems, report *Report) *File {
	f := &File{Name: name, Problems: ps, Report: report}
	if len(data) > MaxSize {
		ps.Add(&Problem{File: name, Message: fmt.Sprintf("is larger than %d MiB", MaxSize>>20)})
		return nil
	}
	if line, wrong := Encoding(data); wrong != "" {
		ps.Add(&Problem{File: name, Line: line, Message: wrong})
		return nil
	}
	data = bytes.TrimPrefix(data, []byte(ByteOrderMark))
	if len(bytes.TrimSpace(data)) == 0 {
		ps.Add(&Problem{File: name, Message: `is empty; the least there can be is "{}"`})
		return nil
	}
	if data[len(data)-1] != '\n' { // a comment may end the file
		data = append(slices.Clip(data), '\n')
	}
	f.lines = lineEnds(make([]int, 0, bytes.Count(data, []byte("\n"))), data)
	if at := tooDeep(data, 0); at >= 0 {
		ps.Add(&Problem{File: name, Line: f.Line(at), Message: fmt.Sprintf("values are nested more than %d deep", MaxDepth)})
		return nil
	}
	root, err := hujson.Parse(data)
	if err != nil {
		ps.Add(syntaxProblem(name, err))
		return nil
	}
	f.Root = root
	return f
}

// lineEnds appends the offsets of the line ends of data to ends.
func lineEnds(ends []int, data []byte) []int {
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i)
		}
	}
	return ends
}

// ParseValue parses a text that is one value, which stands in arrays and objects
// that are nested depth deep. ok is false if it is not one value, nested too deep, or
// not in UTF-8. The value keeps the text.
func ParseValue(text []byte, depth int) (v hujson.Value, ok bool) {
	if tooDeep(text, depth) >= 0 || !utf8.Valid(text) {
		return v, false
	}
	v, err := hujson.Parse(text)
	return v, err == nil && v.StartOffset == 0 && v.EndOffset == len(text)
}

// Cut says that so many lines of the file were taken out of its text at an offset.
func (f *File) Cut(at, lines int) { f.cutAt, f.cutLines = at, lines }

// Line returns the line, from 1, of the octet at offset.
func (f *File) Line(offset int) int {
	n, _ := slices.BinarySearch(f.lines, offset)
	if offset >= f.cutAt {
		n += f.cutLines
	}
	return f.before + n + 1
}

// syntaxProblem makes a problem of an error of the parser. The parser quotes
// malformed strings whole, which may be secrets, so that text is not kept.
func syntaxProblem(name string, err error) *Problem {
	p := &Problem{File: name}
	text := strings.TrimPrefix(err.Error(), "hujson: ")
	var column int
	if _, scan := fmt.Sscanf(text, "line %d, column %d:", &p.Line, &column); scan == nil {
		if _, rest, ok := strings.Cut(text, ": "); ok {
			text = rest
		}
	}
	switch {
	case strings.HasPrefix(text, "invalid literal"):
		text = "this is no valid string, number, true, false or null (a quote or a backslash may be missing)"
	case errors.Is(err, io.ErrUnexpectedEOF):
		text = "the file ends too early; a closing quote, bracket, brace or comment end is missing"
	}
	p.Message = fmt.Sprintf("not valid JSON at column %d: %s", column, text)
	return p
}

// tooDeep returns the offset where values are nested deeper than MaxDepth, or
// -1, in a text that is nested itself. It knows just enough of the syntax to skip
// strings and comments; what is malformed is left to the parser.
func tooDeep(b []byte, depth int) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '[', '{':
			if depth++; depth > MaxDepth {
				return i
			}
		case ']', '}':
			depth--
		case '"':
			i = SkipString(b, i)
		case '/':
			i = SkipComment(b, i)
		}
	}
	return -1
}

// SkipString returns the offset of the quote that ends the string at i.
func SkipString(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

// SkipComment returns the offset of the last octet of the comment at i, or i
// when there is none.
func SkipComment(b []byte, i int) int {
	end := ""
	switch {
	case bytes.HasPrefix(b[i:], []byte("//")):
		end = "\n"
	case bytes.HasPrefix(b[i:], []byte("/*")):
		end = "*/"
	default:
		return i
	}
	n := bytes.Index(b[i+2:], []byte(end))
	if n < 0 {
		return len(b)
	}
	return i + 2 + n + len(end) - 1
}

// Place is where an object stands: what its keys are called in problems and,
// with indices left out, in the report. Both end in "." when not empty.
type Place struct{ Exact, General string }

// Claims says which entry of the report set a field, by pointer to the field.
type Claims map[any]*Entry

// MemberName returns the name of member i.
func MemberName(o *hujson.Object, i int) string {
	return unquote(o.Members[i].Name.Value.(hujson.Literal))
}

// IsNull reports whether v is null.
func IsNull(v *hujson.Value) bool { return v.Value.Kind() == 'n' }

// Printable makes a key of a file fit for one line of a report.
func Printable(s string) string {
	return strings.Trim(strconv.Quote(oneline.Cut(s, 80)), `"`)
}

// Problem adds a problem with the value at node.
func (f *File) Problem(node hujson.Value, key, format string, args ...any) {
	f.Problems.Add(&Problem{File: f.Name, Line: f.Line(node.StartOffset), Key: key, Message: fmt.Sprintf(format, args...)})
}

// AddEntry adds an entry for the value at node to the report.
func (f *File) AddEntry(node hujson.Value, key string, status Status, note string) {
	f.Report.Add(&Entry{File: f.Name, Line: f.Line(node.StartOffset), Key: key, Status: status, Note: note, Count: 1})
}

// Child is where something in p stands, whose name, or index, is suffix.
func (p Place) Child(suffix string) Place { return Place{p.Exact + suffix, p.General + suffix} }

// unquote is the string that a literal stands for. Most need no more than their
// quotes taken off, and there are many in a file of accounts.
func unquote(lit hujson.Literal) string {
	if n := len(lit); n >= 2 && lit[0] == '"' && bytes.IndexByte(lit, '\\') < 0 && utf8.Valid(lit) {
		return string(lit[1 : n-1])
	}
	return lit.String()
}

// spare is room for what is needed of one part of a file only.
type spare struct {
	entries []Entry
	claims  Claims
}
