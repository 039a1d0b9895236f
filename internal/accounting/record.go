// Package accounting writes what became of each recipient of each message.
package accounting

import (
	"net/netip"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

// Kind says what became of a recipient. Its values are PowerMTA's types.
type Kind byte

// The kinds of records about recipients.
const (
	Delivered Kind = 'd' // the provider has taken the message
	Refused   Kind = 'b' // 5yz
	Deferred  Kind = 't' // 4yz, or nothing is known: the client keeps the message
)

// The kinds of records about the log itself.
const (
	kindStart Kind = 's' // a process begins
	kindDrop  Kind = 'x' // records are not written
	kindEnd   Kind = 'e' // a process ends, and all that it had is written
)

// kindNames are the types in the files.
var kindNames = [256]string{Delivered: "d", Refused: "b", Deferred: "t",
	kindStart: "start", kindDrop: "drop", kindEnd: "end"}

// Types returns the values of the field type.
func Types() []string { return []string{"d", "b", "t", "start", "drop", "end"} }

// String is the type in the files.
func (k Kind) String() string { return kindNames[k] }

// Record is one outcome of one recipient, or of an envelope that was refused at MAIL: Rcpt
// is nil then. The slices are borrowed from the caller.
type Record struct {
	Kind Kind

	// Queued is when the proxy had what the verdict is about: the content, or the command
	// that was refused. Began is when a connection to the provider began to send it, Left
	// when the last octet of the content had left, Done when the verdict came. Zero: it did
	// not come to that.
	Queued, Began, Left, Done time.Time

	Account  *account.Account // nil: none was logged in
	Session  uint64           // as "sid" in the log
	Client   netip.Addr       // of the client; invalid: a unix socket
	Listener string           // the address that it came by

	Connection    uint64         // number of the connection to the provider in this process; 0: none
	Local, Remote netip.AddrPort // its addresses
	Upstream      string         // the endpoint, "host:port"
	Attempts      int            // connections that the message was given to

	From, Rcpt, ORcpt, EnvID, MessageID []byte

	Size  int64 // octets of content
	Reply codec.Reply
	// ByProvider: the verdict is the provider's, else ours.
	ByProvider bool
	// Late: the client was not told this verdict, since it had gone, or had been told
	// another one before: that its message was not known to be taken.
	Late bool
	// MaybeAccepted: the provider may have taken the message although it did not say so.
	MaybeAccepted bool
	// Phase is where it failed, as in the log; Class the class of the refusal. "": it did not.
	Phase, Class string
}
