package reading

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"xoauth2-proxy/internal/accounting"
)

// Row is a record of a file, with the fields that the file has.
type Row struct {
	Place
	// Names and Values are the fields in the order of the file. A field that a record of JSON
	// leaves out is in neither.
	Names, Values []string

	at     [numFields]int // where a field is in Values, from 1; 0: it is not there
	keys   []string       // Names of a record of JSON
	header []string       // Names of records of CSV
	atOf   [numFields]int // where a field is in header
}

// Get returns the value of a field; "" if the record does not have it.
func (w *Row) Get(f Field) string {
	if i := w.at[f]; i > 0 {
		return w.Values[i-1]
	}
	return ""
}

// Has reports whether the file has the field for this record.
func (w *Row) Has(f Field) bool { return w.at[f] > 0 }

// Number returns the value of a whole number, 0 if there is none.
func (w *Row) Number(f Field) uint64 {
	n, _ := strconv.ParseUint(w.Get(f), 10, 64) // check has seen it
	return n
}

// Millis returns the value of a field in milliseconds.
func (w *Row) Millis(f Field) (d time.Duration, ok bool) {
	ms, err := strconv.ParseFloat(w.Get(f), 64)
	return time.Duration(ms * float64(time.Millisecond)), err == nil
}

// Time returns the value of a field that is a time; zero if there is none.
func (w *Row) Time(f Field) time.Time {
	t, _ := time.Parse(time.RFC3339, w.Get(f)) // check has seen it
	return t
}

// parse takes a line without its end. header reports a line with the names of the fields.
func (w *Row) parse(line string) (header bool, err error) {
	if !utf8.ValidString(line) || strings.ContainsRune(line, 0) {
		return false, errText
	}
	if line[0] == '{' {
		w.keys, w.Values, w.at = w.keys[:0], w.Values[:0], [numFields]int{}
		if err := w.parseJSON(line); err != nil {
			return false, err
		}
		w.Names = w.keys
		return false, w.check()
	}
	if w.Values, err = splitCSV(w.Values[:0], line); err != nil {
		return false, err
	}
	switch {
	case w.isHeader():
		w.header = slices.Clone(w.Values)
		w.atOf = positions(w.header)
		return true, nil
	case w.header == nil:
		return false, errNoHeader
	case len(w.Values) != len(w.header):
		return false, fmt.Errorf("the line has %d fields, the header %d", len(w.Values), len(w.header))
	}
	w.Names, w.at = w.header, w.atOf
	for i, value := range w.Values {
		if strings.ContainsAny(value, `'\\`) {
			w.Values[i] = accounting.Plain(value)
		}
	}
	return false, w.check()
}

// isHeader reports whether the values are names of fields. A file may begin with some that we
// do not know.
func (w *Row) isHeader() bool {
	known := 0
	for _, v := range w.Values {
		if allNames[v] {
			known++
		}
	}
	return known == len(w.Values) || w.header == nil && slices.Contains(w.Values, Type.String())
}

// allNames are the names of all fields.
var allNames = func() map[string]bool {
	all := map[string]bool{}
	for _, f := range accounting.Fields() {
		all[f.Name] = true
	}
	return all
}()

// positions is where the fields are among the names, from 1.
func positions(names []string) (at [numFields]int) {
	for i, name := range names {
		if f, ok := fieldNamed[name]; ok {
			at[f] = i + 1
		}
	}
	return at
}

// check finds values that no record has.
func (w *Row) check() error {
	if !slices.Contains(types, w.Get(Type)) {
		return errType
	}
	for f := range numFields {
		value := w.Get(f)
		if value == "" {
			continue
		}
		var err error
		switch fields[f].kind {
		case aNumber:
			_, err = strconv.ParseUint(value, 10, 64)
		case aDecimal:
			var ms float64
			if ms, err = strconv.ParseFloat(value, 64); err == nil && !(ms >= 0 && ms < maxMillis) {
				err = strconv.ErrRange
			}
		case aTime:
			_, err = time.Parse(time.RFC3339, value)
		}
		if err != nil {
			return fmt.Errorf("%s is none", f)
		}
	}
	return nil
}

// maxMillis bounds a time in milliseconds: a year.
const maxMillis = 365 * 24 * 3600 * 1000

var types = accounting.Types()

// Errors of a line. They do not quote it: it may be of a file of another kind, with secrets.
var (
	errType   = errors.New("it has no type of a record")
	errText   = errors.New("the line is not text")
	errJSON   = errors.New("the line is not whole JSON")
	errNested = errors.New("a value is neither text nor number")
	errQuote  = errors.New("a quotation mark has no partner")
)

// splitCSV appends the fields of a line of RFC 4180.
func splitCSV(values []string, line string) ([]string, error) {
	for {
		if !strings.HasPrefix(line, `"`) {
			value, rest, more := strings.Cut(line, ",")
			if strings.Contains(value, `"`) {
				return values, errQuote
			}
			values = append(values, value)
			if !more {
				return values, nil
			}
			line = rest
			continue
		}
		var value string
		for line = line[1:]; ; {
			part, rest, found := strings.Cut(line, `"`)
			if !found {
				return values, errQuote
			}
			value, line = value+part, rest
			if !strings.HasPrefix(line, `"`) {
				break
			}
			value, line = value+`"`, line[1:]
		}
		values = append(values, value)
		switch {
		case line == "":
			return values, nil
		case line[0] != ',':
			return values, errQuote
		}
		line = line[1:]
	}
}

// parseJSON takes an object without objects in it.
func (w *Row) parseJSON(line string) error {
	if !json.Valid([]byte(line)) {
		return errJSON
	}
	// The line is valid, so that a token ends where the next one begins.
	skip := func(text string) string { return strings.TrimLeft(text, jsonSpace) }
	for rest := skip(line[1:]); rest[0] != '}'; {
		var name, value string
		name, rest = jsonString(rest)
		switch rest = skip(skip(rest)[1:]); rest[0] { // after the colon
		case '"':
			value, rest = jsonString(rest)
		case '{', '[':
			return errNested
		default:
			end := strings.IndexAny(rest, ",}"+jsonSpace)
			if value, rest = rest[:end], rest[end:]; value == "null" {
				value = ""
			}
		}
		w.keys, w.Values = append(w.keys, name), append(w.Values, value)
		if f, ok := fieldNamed[name]; ok {
			w.at[f] = len(w.Values)
		}
		if rest = skip(rest); rest[0] == ',' {
			rest = skip(rest[1:])
		}
	}
	return nil
}

// jsonSpace is RFC 8259's white space.
const jsonSpace = " \t\r\n"

// jsonString takes the string that rest begins with.
func jsonString(rest string) (value, after string) {
	end := 1
	for rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	value, after = rest[1:end], rest[end+1:]
	if strings.Contains(value, `\`) {
		_ = json.Unmarshal([]byte(rest[:end+1]), &value) // it is valid
	}
	return value, after
}
