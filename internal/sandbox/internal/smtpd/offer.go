package smtpd

import (
	"slices"
	"strconv"
	"strings"
)

// extension is a set of EHLO keywords, as offered in the last EHLO reply.
type extension uint16

const (
	extSIZE extension = 1 << iota
	ext8BITMIME
	extSMTPUTF8
	extDSN
	extBINARYMIME
	extCHUNKING
	extPIPELINING
	extSTARTTLS
	extAUTH
)

var extensionNames = map[string]extension{
	"SIZE": extSIZE, "8BITMIME": ext8BITMIME, "SMTPUTF8": extSMTPUTF8, "DSN": extDSN,
	"BINARYMIME": extBINARYMIME, "CHUNKING": extCHUNKING, "PIPELINING": extPIPELINING,
	"STARTTLS": extSTARTTLS, "AUTH": extAUTH,
}

// offer is one EHLO reply: its lines, and what they offer.
type offer struct {
	lines []string
	exts  extension
	mechs []string
	size  int64 // of SIZE, 0 none
}

func newOffer(lines []string) *offer {
	o := &offer{lines: lines}
	for _, l := range lines {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		e := extensionNames[strings.ToUpper(words[0])]
		o.exts |= e
		switch {
		case e == extSIZE && len(words) > 1:
			o.size, _ = strconv.ParseInt(words[1], 10, 64)
		case e == extAUTH:
			o.mechs = words[1:]
		}
	}
	return o
}

// clear returns the offer before TLS, with a line in the place of AUTH.
func (o *offer) clear(instead string) *offer {
	isAUTH := func(line string) bool { return strings.HasPrefix(strings.ToUpper(line), "AUTH") }
	lines := slices.Clone(o.lines)
	i := slices.IndexFunc(lines, isAUTH)
	if i < 0 {
		i = len(lines)
	}
	lines = slices.DeleteFunc(lines, isAUTH)
	return newOffer(slices.Insert(lines, i, instead))
}

// without returns the offer less one keyword or one AUTH mechanism.
func (o *offer) without(word string) *offer {
	var lines []string
	for _, l := range o.lines {
		words := strings.Fields(l)
		kept := words[:0]
		for _, w := range words {
			if !strings.EqualFold(w, word) {
				kept = append(kept, w)
			}
		}
		// Without the keyword itself, its arguments go too.
		if len(kept) == 0 || !strings.HasPrefix(strings.ToUpper(l), strings.ToUpper(kept[0])) {
			continue
		}
		lines = append(lines, strings.Join(kept, " "))
	}
	return newOffer(lines)
}

// mechanism reports whether AUTH offers it.
func (o *offer) mechanism(name string) bool {
	return slices.ContainsFunc(o.mechs, func(m string) bool { return strings.EqualFold(m, name) })
}
