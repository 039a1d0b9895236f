package config

import (
	"fmt"
	"strconv"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountkeys"
	"xoauth2-proxy/internal/keyfile"
)

// announced is what a provider's EHLO reply announces.
type announced struct {
	extensions account.Extensions
	size       int64 // of a message, 0 for none given
}

// extensionNames are the EHLO keywords that may be configured. A zero stands for an
// extension that the proxy finds out by itself.
var extensionNames = map[string]account.Extensions{
	"8BITMIME":   account.Ext8BITMIME,
	"SMTPUTF8":   account.ExtSMTPUTF8,
	"DSN":        account.ExtDSN,
	"CHUNKING":   0,
	"BINARYMIME": account.ExtBINARYMIME,
}

// readExtensions reads a list of EHLO keywords.
func readExtensions(v *keyfile.Value) (a announced, ok bool) {
	before := len(*v.File.Problems)
	chunking := false
	v.EachElement(func(e *keyfile.Value) {
		problems := len(*v.File.Problems)
		name, _ := keyfile.Text(e)
		if len(*v.File.Problems) > problems {
			return
		}
		if err := a.add(name); err != nil {
			e.Fail("%v", err)
		}
		chunking = chunking || strings.EqualFold(name, "CHUNKING")
	})
	if a.extensions.Has(account.ExtBINARYMIME) && !chunking {
		v.Fail("BINARYMIME goes with CHUNKING (RFC 3030 section 3), which is not in the list")
	}
	return a, len(*v.File.Problems) == before
}

// readAvoid reads a list of EHLO keywords that are not to be used.
func readAvoid(v *keyfile.Value) (avoid account.Keywords, ok bool) {
	before := len(*v.File.Problems)
	v.EachElement(func(e *keyfile.Value) {
		problems := len(*v.File.Problems)
		name, _ := keyfile.Text(e)
		k := account.KeywordOf(name)
		if len(*v.File.Problems) == problems && k == 0 {
			e.Fail("%q is none of %s", name, account.AllKeywords)
		}
		avoid = avoid.With(k)
	})
	return avoid, len(*v.File.Problems) == before
}

// add takes one more keyword, with or without its argument, as in "SIZE=1000" or
// "SIZE 1000".
func (a *announced) add(name string) error {
	keyword, argument, has := strings.Cut(strings.Replace(name, " ", "=", 1), "=")
	keyword = strings.ToUpper(keyword)
	if keyword == "SIZE" {
		n, err := strconv.ParseInt(argument, 10, 64)
		if err != nil || n < 1 || n > accountkeys.MaxContent {
			return fmt.Errorf(`%q has no number of octets of 1..%d: it is written as "SIZE=36700160"`, name, accountkeys.MaxContent)
		}
		a.size = n
		return nil
	}
	x, known := extensionNames[keyword]
	if !known || has {
		return fmt.Errorf("%q is none of 8BITMIME, SMTPUTF8, DSN, CHUNKING, BINARYMIME and SIZE=octets", name)
	}
	a.extensions |= x
	return nil
}
