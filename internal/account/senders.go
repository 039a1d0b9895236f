package account

import (
	"errors"
	"slices"
	"strings"
)

// SenderSelf stands, in a list of senders, for the mailbox of the account: that of the
// login, if the account is a catch-all one.
const SenderSelf = "self"

// Senders are the addresses that an account may send from: those of ParseSender, sorted.
// An empty list allows every address.
type Senders []string

// NewSenders returns the list of these elements, each from ParseSender.
func NewSenders(list []string) Senders {
	slices.Sort(list)
	return slices.Compact(list)
}

// ParseSender reads an element of a list of senders: an address, "@domain" or "*@domain"
// for all addresses of a domain, but not of those below it, or SenderSelf.
func ParseSender(s string) (string, error) {
	if s == SenderSelf {
		return s, nil
	}
	at := strings.LastIndexByte(s, '@')
	local, domain := "", ""
	if at >= 0 {
		local, domain = s[:at], s[at+1:]
	}
	if domain == "" || strings.ContainsAny(s, " \t,;<>()") || strings.ContainsAny(local, `"@`) || local != "*" && strings.Contains(local, "*") ||
		strings.ContainsAny(domain, `*"\`) || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, "..") {
		return "", errors.New(`must be an address such as "user@example.com", "@example.com" for all of a domain, or "self"`)
	}
	return FoldLogin(strings.TrimPrefix(s, "*")), nil
}

// MaySendAs reports whether the account may send from the mailbox, whose local part is
// without quotes. Addresses are compared as FoldLogin does.
func (a *Account) MaySendAs(mailbox string) bool {
	if len(a.Senders) == 0 {
		return true
	}
	key := FoldLogin(mailbox)
	at := strings.LastIndexByte(key, '@')
	self := a.Senders.have(SenderSelf) && key == FoldLogin(a.Email)
	return at >= 0 && (self || a.Senders.have(key) || a.Senders.have(key[at:]))
}

func (s Senders) have(element string) bool {
	_, found := slices.BinarySearch(s, element)
	return found
}
