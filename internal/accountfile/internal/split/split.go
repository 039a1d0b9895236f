// Package split cuts a file of accounts into its elements as it is read, so that it is
// never in memory as a whole. It knows just enough of the syntax to skip strings and
// comments; anything else is an odd file.
package split

import (
	"bytes"
	"errors"
	"io"

	"xoauth2-proxy/internal/keyfile"
)

const (
	// Window is how much of a file is in memory while it is split, in octets. An
	// account that does not fit makes it larger, up to mostWindow.
	Window     = 256 << 10
	mostWindow = 16 << 20
)

// ErrOddFile says that a file is not laid out as a Splitter expects it.
var ErrOddFile = errors.New("the file cannot be taken apart into accounts")

// Splitter is one file that is being read. It may be mistaken: its user checks that
// the head and the tail parse as expected around the elements.
type Splitter struct {
	from   io.Reader
	window []byte
	at     int // of what was not handed out yet, in window
	total  int // octets read
	ended  bool
	depth  int // see Depth
}

// New returns a splitter of the file with that text. Window says how large the window
// is at first.
func New(from io.Reader, window int) *Splitter {
	return &Splitter{from: from, window: make([]byte, 0, window)}
}

// Head returns what is in front of the first element: all up to the bracket that
// begins the array, without a byte order mark. It is the caller's until Next.
func (s *Splitter) Head() ([]byte, error) {
	if err := s.more(); err != nil { // a head that is longer is odd
		return nil, err
	}
	text := bytes.TrimPrefix(s.window, []byte(keyfile.ByteOrderMark))
	end, depth := arrayBegin(text)
	if end < 0 {
		return nil, ErrOddFile
	}
	s.at, s.depth = len(s.window)-len(text)+end, depth
	return text[:end], nil
}

// Depth returns how deep the array of accounts is: 1 if it is all of the file, and 2 if
// it is in an object. It is known after Head.
func (s *Splitter) Depth() int { return s.depth }

// Next returns the next element, which is an object, and the gap in front of it:
// so many octets of white space, comments and commas. After the last one the text
// is nil. It is the caller's until the next call.
func (s *Splitter) Next() (text []byte, gap int, err error) {
	for {
		left := s.window[s.at:]
		begin := skipGap(left)
		if begin < len(left) && left[begin] == ']' {
			return nil, 0, nil
		}
		if begin < len(left) && left[begin] != '{' && left[begin] != '/' {
			return nil, 0, ErrOddFile
		}
		if end := objectEnd(left, begin); end >= 0 {
			s.at += end
			return left[:end], begin, nil
		}
		if err := s.more(); err != nil {
			return nil, 0, err
		}
	}
}

// Tail appends all that is left to b.
func (s *Splitter) Tail(b []byte) ([]byte, error) {
	for {
		b = append(b, s.window[s.at:]...)
		s.at = len(s.window)
		if s.ended {
			return b, nil
		}
		if err := s.more(); err != nil {
			return nil, err
		}
	}
}

// more fills the window after what is not handed out yet.
func (s *Splitter) more() error {
	if s.ended {
		return ErrOddFile
	}
	left := copy(s.window[:cap(s.window)], s.window[s.at:])
	s.window, s.at = s.window[:left], 0
	if left == cap(s.window) {
		if left >= mostWindow {
			return ErrOddFile
		}
		s.window = append(make([]byte, 0, 2*left), s.window...)
	}
	n, err := io.ReadFull(s.from, s.window[left:cap(s.window)])
	s.window = s.window[:left+n]
	s.total += n
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.ended = true
	case err != nil:
		return err
	}
	if s.total > keyfile.MaxSize {
		return ErrOddFile
	}
	return nil
}

// arrayBegin returns the offset after the bracket that begins the array of
// accounts, and how deep the array is: the text begins with it, or with an object
// that has it as "accounts". It returns -1 if there is none in the text.
func arrayBegin(text []byte) (end, depth int) {
	const name = `"accounts"`
	at := skipExtra(text, 0)
	if at < len(text) && text[at] == '[' {
		return at + 1, 1
	}
	if at >= len(text) || text[at] != '{' {
		return -1, 0
	}
	depth = 1
	for at++; at < len(text); at++ {
		switch text[at] {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '/':
			at = keyfile.SkipComment(text, at)
		case '"':
			begin := at
			at = keyfile.SkipString(text, at)
			if depth != 1 || !bytes.HasPrefix(text[begin:], []byte(name)) {
				continue
			}
			colon := skipExtra(text, begin+len(name))
			if colon >= len(text) || text[colon] != ':' { // a value
				continue
			}
			if value := skipExtra(text, colon+1); value < len(text) && text[value] == '[' {
				return value + 1, 2
			}
		}
	}
	return -1, 0
}

// skipExtra returns the offset after white space and comments.
func skipExtra(b []byte, i int) int {
	for ; i < len(b); i++ {
		switch b[i] {
		case ' ', '\t', '\r', '\n':
		case '/':
			end := keyfile.SkipComment(b, i)
			if end == i {
				return i
			}
			i = end
		default:
			return i
		}
	}
	return i
}

// skipGap returns the offset after white space, comments and commas.
func skipGap(b []byte) int {
	i := skipExtra(b, 0)
	for i < len(b) && b[i] == ',' {
		i = skipExtra(b, i+1)
	}
	return i
}

// objectEnd returns the offset after the object that begins at i, or -1 if b
// does not have all of it.
func objectEnd(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1
			}
		case '"':
			i = keyfile.SkipString(b, i)
		case '/':
			i = keyfile.SkipComment(b, i)
		}
	}
	return -1
}
