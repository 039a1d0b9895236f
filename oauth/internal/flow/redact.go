package flow

import (
	"strings"

	"xoauth2-proxy/internal/oneline"
)

// redacted stands for a secret in a text.
const redacted = "<secret>"

const (
	// secretWindow is how many octets in a row a text may share with a secret.
	secretWindow = 8
	// maxWord is the longest run without white space that counts as a word, a URL or a
	// GUID; a longer one may be a token unknown to us.
	maxWord = 48
	// maxDescription cuts remote text, in octets.
	maxDescription = 300
)

// redact makes remote text fit for a log: one line of printable characters, cut. It
// masks words that are too long for a word, and words with a part of a secret:
// endpoints echo requests, whole or abbreviated.
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
	return oneline.Cut(oneline.Text(strings.Join(words, " "), '?'), maxDescription)
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
