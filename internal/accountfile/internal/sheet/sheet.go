// Package sheet knows how spreadsheets write the header of a list in CSV.
package sheet

import (
	"bytes"
	"slices"
	"strings"
)

// Column returns the key that a column of a header is for.
func Column(s string) string { return strings.ToLower(strings.Trim(strings.TrimSpace(s), `"`)) }

// Has reports whether a header has a column of that name.
func Has(header []byte, name string) bool {
	for _, column := range strings.Split(string(header), string(separatorOf(header))) {
		if Column(column) == name {
			return true
		}
	}
	return false
}

// Declared returns the separator that a line of Excel's declares ("sep=;"), 0 if the
// line is another one.
func Declared(line []byte) rune {
	line = bytes.Trim(line, "\r\n\"")
	if len(line) != len("sep=,") || !bytes.EqualFold(line[:4], []byte("sep=")) {
		return 0
	}
	return rune(line[4])
}

// separatorOf returns what separates the columns of a header: a comma, or, as Excel has it
// in many languages, a semicolon, or a tab. No name of a column has one of them.
func separatorOf(header []byte) rune {
	if at := bytes.IndexAny(header, ",;\t"); at >= 0 {
		return rune(header[at])
	}
	return ','
}

// Cut returns the separator of a list, and the list with a line that declares it
// made a comment, so that lines keep their numbers.
func Cut(data []byte) (separator rune, list []byte) {
	before := 0
	for line := range bytes.Lines(data) {
		trimmed := bytes.TrimSpace(line)
		switch {
		case len(trimmed) == 0 || trimmed[0] == '#':
			before += len(line)
			continue
		case Declared(line) != 0:
			return Declared(line), slices.Concat(data[:before], []byte("#"), data[before:])
		}
		return separatorOf(trimmed), data
	}
	return ',', data
}
