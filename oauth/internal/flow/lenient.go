package flow

import (
	"bytes"
	"encoding/json"
	"strings"
)

// unreadable stands for a value that is not JSON: a field with it counts as odd,
// whatever it should hold.
const unreadable = "{}"

// lenientJSON returns the object body as JSON, though some of its values are not: words
// such as NaN, Infinity and undefined become unreadable, numbers in another notation
// (0600, +600, .5) become text, and control characters in text become spaces. The values
// beside them stay as they are. What is JSON, and no object, stays whole.
func lenientJSON(body []byte) []byte {
	if !isObject(body) || json.Valid(body) {
		return body
	}
	out := make([]byte, 0, len(body)+16)
	for len(body) > 0 {
		n := bytes.IndexAny(body, "{}[],:\" \t\r\n")
		switch {
		case n < 0:
			n = len(body)
			fallthrough
		case n > 0:
			out = append(out, valueFor(string(body[:n]))...)
		case body[0] == '"':
			n = textLen(body)
			out = append(out, bytes.Map(printable, body[:n])...)
		default:
			n = 1
			out = append(out, body[0])
		}
		body = body[n:]
	}
	return out
}

// valueFor returns the JSON value that a run of characters outside of text stands for.
func valueFor(run string) string {
	switch {
	case json.Valid([]byte(run)):
		return run
	case strings.Trim(run, numeric) == "":
		return `"` + run + `"`
	}
	return unreadable
}

// textLen returns the length of the string in quotes that body begins with.
func textLen(body []byte) int {
	for i := 1; i < len(body); i++ {
		switch body[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(body)
}

// printable replaces a control character by a space.
func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}
