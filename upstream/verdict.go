package upstream

import (
	"strings"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// provider tells whose meaning of reply codes an account's provider follows.
type provider uint8

const (
	providerOther provider = iota
	providerGoogle
	providerMicrosoft
	numProviders
)

var providerNames = [numProviders]string{"any other", "Google", "Microsoft"}

// hostsOf are the domains of the submission servers, for accounts of a provider
// that configuration names otherwise.
var hostsOf = [...]struct {
	domain string
	is     provider
}{
	{"gmail.com", providerGoogle},
	{"office365.com", providerMicrosoft},
	{"office365.us", providerMicrosoft},
	{"outlook.com", providerMicrosoft},
	{"outlook.cn", providerMicrosoft},
	{"mx.microsoft", providerMicrosoft},
}

// providerOf returns the provider of an account: by the name of its preset, or
// else by its endpoint.
func providerOf(a *account.Account) provider {
	switch {
	case a.Provider == "gmail":
		return providerGoogle
	case strings.HasPrefix(a.Provider, "outlook"): // the national clouds answer alike
		return providerMicrosoft
	}
	for i := range hostsOf {
		host, domain := a.SMTP.Host, hostsOf[i].domain
		n := len(host) - len(domain)
		if n >= 0 && strings.EqualFold(host[n:], domain) && (n == 0 || host[n-1] == '.') {
			return hostsOf[i].is
		}
	}
	return providerOther
}

// messageEffect is what the client is told of its message.
type messageEffect uint8

const (
	messageAsIs  messageEffect = iota // the provider's reply
	messageLater                      // a 4yz reply of ours that quotes it
	messageQuota                      // the provider's reply, or 452 with Config.QuotaAsTemporary
)

var messageNames = [...]string{"the reply", "451 or 454", "the reply, or 452"}

// connectionEffect is what becomes of the connection that the reply came over.
type connectionEffect uint8

const (
	connectionKept    connectionEffect = iota
	connectionClosed                   // the provider closes it, or it never came to use
	connectionRetired                  // it has done its share: it ends, and that is all that the reply says
)

var connectionNames = [...]string{"kept", "closed", "retired"}

// accountEffect is what a reply means for the account, in the order of gravity.
// Those up to accountLogins concern its next logins, the others its messages too.
type accountEffect uint8

const (
	accountNone     accountEffect = iota
	accountLogin                  // the next login waits (backoff)
	accountToken                  // like accountLogin, after one try with another access token
	accountLogins                 // too many logins: the next one waits for longer
	accountThrottle               // fewer connections at one time; at AUTH like accountLogins too
	accountQuota                  // nothing for an hour, two, ... 24
	accountHold                   // nothing but a message now and then that tries: see probes
)

var accountNames = [...]string{"none", "login refused", "token refused", "logins paused", "throttled", "paused for hours", "held"}

// lineEffect is what a refusal of AUTH says of the lines of the login, rather than
// of the token.
type lineEffect uint8

const (
	// lineForm: the response may be taken in the other form (see authForm).
	lineForm lineEffect = 1 << iota
	// lineSyntax: a line was not understood, most often because of its length.
	lineSyntax
)

// verdict is what a refusal of the provider means, and for what.
type verdict struct {
	message    messageEffect
	connection connectionEffect
	account    accountEffect
	line       lineEffect
	hint       string // what the operator can do; may be empty
}

// occasion is where a reply came.
type occasion struct {
	provider provider
	phase    Phase
	carried  bool // over a connection that has carried a message before, or was parked
}

// judge looks a refusal up in the table (verdictRows): the first row that fits
// decides. What is in no row concerns the message alone or, before MAIL, the
// login alone. It does not allocate.
func judge(o occasion, r *codec.Reply) verdict {
	if r.Code < 400 {
		return verdict{}
	}
	var v verdict
	if o.phase < PhaseMail {
		v = verdict{message: messageLater, connection: connectionClosed, account: accountLogin}
	} else if closes(r) {
		v.connection = connectionClosed
	}
	for i := range verdictRules {
		rule := &verdictRules[i]
		if !rule.fits(o, r) {
			continue
		}
		v.hint, v.line = rule.hint, rule.line
		v.account = max(v.account, rule.account)
		v.message = max(v.message, rule.message)
		if rule.connection != connectionKept {
			v.connection = rule.connection
		}
		break
	}
	return v
}

// verdict is what the provider's reply in e means; nothing if there is none.
func (e *Error) verdict() verdict {
	if e == nil || e.own {
		return verdict{}
	}
	return judge(occasion{e.provider, e.Phase, e.carried}, &e.Reply)
}

// graver returns of two failures, each of which may be nil, the one that means
// more for the account; a if they mean the same and it is not nil.
func graver(a, b *Error) *Error {
	if a == nil || b != nil && b.verdict().account > a.verdict().account {
		return b
	}
	return a
}
