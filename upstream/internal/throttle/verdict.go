package throttle

import "xoauth2-proxy/codec"

// MessageEffect is what the client is told of its message.
type MessageEffect uint8

const (
	MessageAsIs  MessageEffect = iota // the provider's reply
	MessageLater                      // a 4yz reply of ours that quotes it
	MessageQuota                      // the provider's reply, or 452 with Config.QuotaAsTemporary
)

var messageNames = [...]string{"the reply", "451 or 454", "the reply, or 452"}

func (e MessageEffect) String() string { return messageNames[e] }

// ConnectionEffect is what becomes of the connection that the reply came over.
type ConnectionEffect uint8

const (
	ConnectionKept    ConnectionEffect = iota
	ConnectionClosed                   // the provider Closes it, or it never came to use
	ConnectionRetired                  // it has done its share: it ends, and that is all that the reply says
)

var connectionNames = [...]string{"kept", "closed", "retired"}

func (e ConnectionEffect) String() string { return connectionNames[e] }

// AccountEffect is what a reply means for the account, in the order of gravity.
// Those up to AccountLogins concern its next logins, the others its messages too.
type AccountEffect uint8

const (
	AccountNone     AccountEffect = iota
	AccountLogin                  // the next login waits (backoff)
	AccountToken                  // like AccountLogin, after one try with another access token
	AccountLogins                 // too many logins: the next one waits for longer
	AccountThrottle               // fewer connections at one time; at AUTH like AccountLogins too
	AccountQuota                  // nothing for an hour, two, ... 24
	AccountHold                   // nothing but a message now and then that tries: see probes
)

var accountNames = [...]string{"none", "login refused", "token refused", "logins paused", "throttled", "paused for hours", "held"}

func (e AccountEffect) String() string { return accountNames[e] }

// LineEffect is what a refusal of AUTH says of the lines of the login, rather than
// of the token.
type LineEffect uint8

const (
	// LineForm: the response may be taken in the other form (see authForm).
	LineForm LineEffect = 1 << iota
	// LineSyntax: a line was not understood, most often because of its length.
	LineSyntax
)

// Verdict is what a refusal of the provider means, and for what.
type Verdict struct {
	Message    MessageEffect
	Connection ConnectionEffect
	Account    AccountEffect
	Line       LineEffect
	Hint       string // what the operator can do; may be empty
}

// Occasion is where a reply came.
type Occasion struct {
	Provider Provider
	Phase    Phase
	Carried  bool // over a connection that has carried a message before, or was parked
}

// Judge looks a refusal up in the table (verdictRows): the first row that fits
// decides. What is in no row concerns the message alone or, before MAIL, the
// login alone. It does not allocate.
func Judge(o Occasion, r *codec.Reply) Verdict {
	if r.Code < 400 {
		return Verdict{}
	}
	var v Verdict
	if o.Phase < PhaseMail {
		v = Verdict{Message: MessageLater, Connection: ConnectionClosed, Account: AccountLogin}
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
