package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/seal"
)

const (
	// maxFileSize bounds a file in octets: room for 100,000 accounts.
	maxFileSize = 128 << 20
	// maxDepth bounds the nesting of values, since the parser recurses. The
	// deepest key that means anything is four deep.
	maxDepth = 64
)

// file is one parsed file, or part of one, and where its problems and notes go.
type file struct {
	name     string
	root     hujson.Value
	lines    []int         // offsets of the line ends, ascending
	before   int           // lines in front of the part
	cut      cut           // out of the text
	keys     *seal.Keyring // that open sealed values; may be nil
	account  string        // email of the account that is being read; "" for config.json
	problems *problems
	report   *Report
	// spare, if not nil, is room for what nobody keeps when an account is read.
	spare *spare
	// passing says that what was read may read otherwise another time though
	// its text is the same, with the same settings.
	passing bool
}

// spare is what apply needs for an object, to be used for one after the other.
type spare struct {
	entries []Entry
	claims  claims
}

// newEntry returns an empty entry.
func (f *file) newEntry() *Entry {
	if f.spare == nil || len(f.spare.entries) == cap(f.spare.entries) {
		return new(Entry)
	}
	n := len(f.spare.entries)
	f.spare.entries = f.spare.entries[:n+1]
	f.spare.entries[n] = Entry{}
	return &f.spare.entries[n]
}

// newClaims returns empty claims.
func (f *file) newClaims() claims {
	if f.spare == nil {
		return make(claims)
	}
	clear(f.spare.claims)
	return f.spare.claims
}

// cut is lines that were taken out of a text at an offset.
type cut struct{ at, lines int }

// openFile reads and parses the file at path. The problems of reading and of
// syntax go to ps; then it returns nil.
func openFile(path string, ps *problems, report *Report) *file {
	data, err := readFile(path)
	if err != nil {
		ps.add(&Problem{File: path, Message: err.Error()})
		return nil
	}
	return parseFile(path, data, ps, report)
}

// readFile reads the file at path; the error does not repeat the path.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	defer f.Close()
	var data bytes.Buffer
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		data.Grow(int(min(info.Size(), maxFileSize)) + bytes.MinRead + 1) // no copies while it grows
	}
	if _, err := data.ReadFrom(io.LimitReader(f, maxFileSize+1)); err != nil {
		return nil, fmt.Errorf("cannot be read: %w", withoutPath(err))
	}
	return data.Bytes(), nil
}

// withoutPath takes the path, which is printed in front already, out of err.
func withoutPath(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}

// parseFile parses data, named name in messages.
func parseFile(name string, data []byte, ps *problems, report *Report) *file {
	f := &file{name: name, problems: ps, report: report}
	if len(data) > maxFileSize {
		ps.add(&Problem{File: name, Message: fmt.Sprintf("is larger than %d MiB", maxFileSize>>20)})
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows write it
	if len(bytes.TrimSpace(data)) == 0 {
		ps.add(&Problem{File: name, Message: `is empty; the least there can be is "{}"`})
		return nil
	}
	if data[len(data)-1] != '\n' { // a comment may end the file
		data = append(slices.Clip(data), '\n')
	}
	f.lines = lineEnds(make([]int, 0, bytes.Count(data, []byte("\n"))), data)
	if at := tooDeep(data, 0); at >= 0 {
		ps.add(&Problem{File: name, Line: f.line(at), Message: fmt.Sprintf("values are nested more than %d deep", maxDepth)})
		return nil
	}
	root, err := hujson.Parse(data)
	if err != nil {
		ps.add(syntaxProblem(name, err))
		return nil
	}
	f.root = root
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

// line returns the line, from 1, of the octet at offset.
func (f *file) line(offset int) int {
	n, _ := slices.BinarySearch(f.lines, offset)
	if offset >= f.cut.at {
		n += f.cut.lines
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

// tooDeep returns the offset where values are nested deeper than maxDepth, or
// -1, in a text that is nested itself. It knows just enough of the syntax to skip
// strings and comments; what is malformed is left to the parser.
func tooDeep(b []byte, depth int) int {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '[', '{':
			if depth++; depth > maxDepth {
				return i
			}
		case ']', '}':
			depth--
		case '"':
			i = skipString(b, i)
		case '/':
			i = skipComment(b, i)
		}
	}
	return -1
}

// skipString returns the offset of the quote that ends the string at i.
func skipString(b []byte, i int) int {
	for i++; i < len(b) && b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i
}

// skipComment returns the offset of the last octet of the comment at i, or i
// when there is none.
func skipComment(b []byte, i int) int {
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
