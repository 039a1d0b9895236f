// Package oneline makes text of others fit for one line of a log, an error or a terminal.
//
// SMTP replies have cleaners of their own: codec.Printable keeps line ends, smtpclient.Cut
// leaves ASCII only.
package oneline

import (
	"strings"
	"unicode/utf8"
)

// Text returns s with mark in place of each control character (C0, DEL, C1), and U+FFFD in
// place of each octet that is not UTF-8.
func Text(s string, mark rune) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return mark
		}
		return r
	}, s)
}

// Cut returns s if it has at most that many octets, else as many whole characters of its
// beginning, and "...".
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "..."
}
