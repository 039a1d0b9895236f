package keyfile

import (
	"bytes"
	"unicode/utf8"
)

// Encoding returns what is wrong with a text that is not in UTF-8, and the line, from 1, on
// which it shows; "" for a text in UTF-8.
func Encoding(text []byte) (line int, wrong string) {
	if isUTF16(text) {
		return 1, "is in UTF-16; save the file in UTF-8"
	}
	line = 1
	for rest := text; len(rest) > 0; line++ {
		this := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			this, rest = rest[:end], rest[end+1:]
		} else {
			rest = nil
		}
		if !utf8.Valid(this) {
			return line, "is not in UTF-8, maybe in Latin-1 (Windows-1252); save the file in UTF-8"
		}
	}
	return 0, ""
}

// isUTF16 tells UTF-16 by its byte order mark, or by the zero octet that each ASCII
// character has there.
func isUTF16(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	begin := [2]byte(text)
	return begin == [2]byte{0xff, 0xfe} || begin == [2]byte{0xfe, 0xff} || (begin[0] == 0) != (begin[1] == 0)
}
