package throttle

import (
	"strings"

	"xoauth2-proxy/internal/account"
)

// Provider is the provider of an account, as far as providers give reply codes other
// meanings.
type Provider uint8

// The providers.
const (
	ProviderOther Provider = iota
	ProviderGoogle
	ProviderMicrosoft
	NumProviders
)

var providerNames = [NumProviders]string{"any other", "Google", "Microsoft"}

// String is the name in docs/provider-replies.md.
func (p Provider) String() string { return providerNames[p] }

// hostsOf are the domains of the submission servers, for accounts whose preset has
// another name.
var hostsOf = [...]struct {
	domain string
	is     Provider
}{
	{"gmail.com", ProviderGoogle},
	{"office365.com", ProviderMicrosoft},
	{"office365.us", ProviderMicrosoft},
	{"outlook.com", ProviderMicrosoft},
	{"outlook.cn", ProviderMicrosoft},
	{"mx.microsoft", ProviderMicrosoft},
}

// ProviderOf returns the provider of an account: by the name of its preset, or
// else by its endpoint.
func ProviderOf(a *account.Account) Provider {
	switch {
	case a.Provider == "gmail":
		return ProviderGoogle
	case strings.HasPrefix(a.Provider, "outlook"): // the national clouds reply in the same way
		return ProviderMicrosoft
	}
	for i := range hostsOf {
		host, domain := a.SMTP.Host, hostsOf[i].domain
		n := len(host) - len(domain)
		if n >= 0 && strings.EqualFold(host[n:], domain) && (n == 0 || host[n-1] == '.') {
			return hostsOf[i].is
		}
	}
	return ProviderOther
}
