package reading

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxLine bounds a line, in octets.
const maxLine = 1 << 20

// Errors of a line.
var (
	errLong     = fmt.Errorf("the line is longer than %d octets", maxLine)
	errCutOff   = errors.New("the line is cut off")
	errNoHeader = errors.New("no line with the names of the fields comes before it")
)

// ErrForeign: a file that was found in a directory does not begin like an accounting log.
var ErrForeign = errors.New("not an accounting log")

// Place is where a record stands.
type Place struct {
	File string
	Line int // from 1
}

// String is "file:line".
func (p Place) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// Reader reads files.
type Reader struct {
	// Record is called with each record, which is valid during the call.
	Record func(*Row)
	// Damaged is called with the place of each line that is no record, and why.
	Damaged func(Place, error)

	seen []os.FileInfo
	row  Row
}

// ErrAgain: a file was read before.
var ErrAgain = errors.New("it is read already, under this name or another one")

// File reads one file. Its error says why the file, or the rest of it, could not be read.
func (r *Reader) File(f File) error {
	if f.Name == StandardInput {
		return r.content("standard input", os.Stdin, false)
	}
	file, err := os.Open(f.Name)
	if err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("cannot read: %w", err)
	}
	for _, before := range r.seen {
		if os.SameFile(before, info) {
			return fmt.Errorf("cannot read %s: %w", f.Name, ErrAgain)
		}
	}
	r.seen = append(r.seen, info)
	return r.content(f.Name, file, f.Found)
}

// content reads the lines of in. A file that is only found must begin with a record or a header.
func (r *Reader) content(name string, in io.Reader, found bool) error {
	text, done, err := unpacked(in)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	defer done()
	r.row = Row{Place: Place{File: name}}
	lines := bufio.NewReaderSize(text, maxLine)
	for {
		line, err := lines.ReadSlice('\n')
		ended := err == nil
		long := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if len(line) > 0 {
			r.row.Line++
			wrong := r.line(line, long, ended)
			if found && r.row.Line == 1 && wrong != nil {
				return fmt.Errorf("%s: %w", name, ErrForeign)
			}
			if wrong != nil {
				r.Damaged(r.row.Place, wrong)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("cannot read on in %s after line %d: %w", name, r.row.Line, err)
		}
	}
}

// byteOrderMark is what some programs put before UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// line takes a line with its end.
func (r *Reader) line(line []byte, long, ended bool) error {
	if r.row.Line == 1 {
		line = bytes.TrimPrefix(line, byteOrderMark)
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	switch {
	case long:
		return errLong
	case len(text) == 0:
		return nil
	case !ended: // the last field may lack its end
		return errCutOff
	}
	header, err := r.row.parse(string(text))
	if err == nil && !header {
		r.Record(&r.row)
	}
	return err
}
