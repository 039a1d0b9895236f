package throttle

import (
	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
)

// MessageEffect is the reply that the client gets.
type MessageEffect uint8

// The effects on the message.
const (
	MessageAsIs  MessageEffect = iota // the provider's reply
	MessageLater                      // a 4yz reply of the proxy that quotes the provider's
	MessageQuota                      // the provider's reply, or 452 if the relay is configured so
)

var messageNames = [...]string{"the reply", "451 or 454", "the reply, or 452"}

func (e MessageEffect) String() string { return messageNames[e] }

// ConnectionEffect is what becomes of the connection that the reply came over.
type ConnectionEffect uint8

// The effects on the connection.
const (
	ConnectionKept    ConnectionEffect = iota
	ConnectionClosed                   // the provider closes it, or the login failed
	ConnectionRetired                  // it has done its share and ends; the reply says no more
)

var connectionNames = [...]string{"kept", "closed", "retired"}

func (e ConnectionEffect) String() string { return connectionNames[e] }

// AccountEffect is what a reply means for the account, in the order of gravity. The
// effects up to AccountLogins concern the next logins, the others messages too.
type AccountEffect uint8

// The effects on the account.
const (
	AccountNone     AccountEffect = iota
	AccountLogin                  // the next login waits, see Backoff
	AccountToken                  // like AccountLogin, after one try with another access token
	AccountLogins                 // too many logins: the next one waits for longer
	AccountThrottle               // fewer connections at one time; at AUTH also like AccountLogins
	AccountQuota                  // a suspension of one hour, two, ... 24
	AccountHold                   // a suspension until an operator or a probe ends it
)

var accountNames = [...]string{"none", "login refused", "token refused", "logins paused", "throttled", "paused for hours", "held"}

func (e AccountEffect) String() string { return accountNames[e] }

// LineEffect is what a refusal of AUTH says about the lines of the login, not about
// the token.
type LineEffect uint8

const (
	// LineForm: the provider may take the response in the other form, as an initial
	// response or on a line of its own.
	LineForm LineEffect = 1 << iota
	// LineSyntax: the provider did not understand a line, most often because of its
	// length.
	LineSyntax
)

// Verdict is what a refusal means for the message, the connection and the account.
type Verdict struct {
	Message    MessageEffect
	Connection ConnectionEffect
	Account    AccountEffect
	Line       LineEffect
	Hint       hint.ID
}

// Class is the class of a refusal with that verdict: one short word, which stays as it is.
func (v Verdict) Class() string {
	if v.Account == AccountNone && v.Connection == ConnectionRetired {
		return "connection_used_up"
	}
	return accountClasses[v.Account]
}

var accountClasses = [...]string{"message", "login", "token", "logins", "throttled", "quota", "held"}

// Occasion is where a reply came.
type Occasion struct {
	Provider Provider
	Phase    Phase
	Carried  bool // over a connection that has carried a message before, or was parked
}

// Judge returns the verdict on a reply. The first row of the table (verdictRows) that
// fits decides. A refusal that no row fits concerns the message alone or, before
// MAIL, the login alone. Judge does not allocate.
func Judge(o Occasion, r *codec.Reply) Verdict {
	if r.Code < 400 {
		return Verdict{}
	}
	v := Verdict{Hint: unexplained[o.Phase].deferred}
	if r.Permanent() {
		v.Hint = unexplained[o.Phase].refused
	}
	if o.Phase < PhaseMail {
		v.Message, v.Connection, v.Account = MessageLater, ConnectionClosed, AccountLogin
	} else if Closes(r) {
		v.Connection = ConnectionClosed
	}
	for i := range verdictRules {
		rule := &verdictRules[i]
		if !rule.fits(o, r) {
			continue
		}
		v.Hint, v.Line = rule.hint, rule.line
		v.Account = max(v.Account, rule.account)
		v.Message = max(v.Message, rule.message)
		if rule.connection != ConnectionKept {
			v.Connection = rule.connection
		}
		break
	}
	return v
}

// unexplained has the entries of refusals that no row of the table fits: of 4yz, of 5yz.
var unexplained = [numPhases]struct{ deferred, refused hint.ID }{
	PhaseConnect:  {hint.ConnectionRefused, hint.ConnectionRefused},
	PhaseTLS:      {hint.ConnectionRefused, hint.ConnectionRefused},
	PhaseGreeting: {hint.ConnectionRefused, hint.ConnectionRefused},
	PhaseEHLO:     {hint.ConnectionRefused, hint.ConnectionRefused},
	PhaseAuth:     {hint.LoginFailing, hint.LoginRefused},
	PhaseMail:     {hint.SenderDeferred, hint.SenderRefused},
	PhaseRcpt:     {hint.RecipientDeferred, hint.RecipientRefused},
	PhaseData:     {hint.MessageDeferred, hint.MessageRefused},
	PhaseContent:  {hint.MessageDeferred, hint.MessageRefused},
	PhaseFinal:    {hint.MessageDeferred, hint.MessageRefused},
}
