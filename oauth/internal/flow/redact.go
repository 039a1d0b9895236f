package flow

import (
	"strings"
	"unicode/utf8"
)

// redacted stands for a secret wherever one might be printed.
const redacted = "<secret>"

const (
	// secretWindow is how many octets in a row a text may share with a secret.
	secretWindow = 8
	// maxWord is how long a run without white space may be and still be taken
	// for a word, a URL or a GUID instead of a token unknown to us.
	maxWord = 48
	// maxDescription cuts remote text, in octets.
	maxDescription = 300
)

// redact makes remote text fit to be logged: one line of printable characters,
// cut, and every word masked that is too long to be one or has a part of a
// secret in it. Endpoints do echo what they were sent, whole or abbreviated.
func redact(text string, secrets []string) string {
	if len(text) > 4*maxDescription {
		text = text[:4*maxDescription]
	}
	for _, s := range secrets { // one with white space in it is not a word
		if s != "" {
			text = strings.ReplaceAll(text, s, redacted)
		}
	}
	words := strings.Fields(strings.ToValidUTF8(text, "?"))
	for i, w := range words {
		if len(w) > maxWord || sharesSecret(w, secrets) {
			words[i] = redacted
		}
	}
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.Join(words, " "))
	if len(text) > maxDescription {
		cut := maxDescription
		for !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut] + "..."
	}
	return text
}

// sharesSecret reports whether word contains a secret, or secretWindow octets
// of one.
func sharesSecret(word string, secrets []string) bool {
	for _, s := range secrets {
		if s == "" {
			continue
		}
		if len(s) <= secretWindow {
			if strings.Contains(word, s) {
				return true
			}
			continue
		}
		for i := 0; i+secretWindow <= len(word); i++ {
			if strings.Contains(s, word[i:i+secretWindow]) {
				return true
			}
		}
	}
	return false
}
