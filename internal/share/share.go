// Package share lets several processes use the same mailboxes within one set of limits: the
// old and the new process of an upgrade, or the proxies of many hosts. What belongs to a
// mailbox is leased from a [Store], not asked for with each message:
//
//   - slots: connections that a process may have,
//   - permits: messages, recipients and logins that a process may begin,
//   - claims: one process at a time refreshes a chain of tokens,
//   - orders of operators, which hold everywhere.
//
// A process is one node of the store. Its [Member] renews what it has leased; the pool asks
// the member only, and never waits. A process that shares with none has no member.
package share

import (
	"context"
	"errors"
	"time"
)

// Kind is what permits are for.
type Kind uint8

// The kinds of permits. A tenant has RecipientsPerDay alone, under the key of the tenant: its
// external recipients.
const (
	MessagesPerMinute Kind = iota
	MessagesPerHour
	MessagesPerDay
	RecipientsPerDay
	LoginsPerMinute
	NumKinds
)

// Span is the time that a limit of the kind is for.
func (k Kind) Span() time.Duration {
	return [...]time.Duration{time.Minute, time.Hour, 24 * time.Hour, 24 * time.Hour, time.Minute}[k]
}

// Slots is into how many slots a store divides the span. It keeps one slot more, so that the
// limit holds in every span, wherever it begins.
func (k Kind) Slots() int { return [...]int{60, 60, 24, 24, 60}[k] }

// Protocol is the number of what the nodes of a store must agree on.
const Protocol = 1

// What a node has leased ends if it does not renew.
const (
	// TTL is how long a lease lasts, from the monotonic time when its renewal was sent.
	TTL = 15 * time.Second
	// RenewEvery is how often a node renews all that it has, in one round trip.
	RenewEvery = 5 * time.Second
	// AskEvery is how often a node renews a key of which it wants slots and has none.
	AskEvery = time.Second
	// BusyFor is how long a store counts the slots that carried a message when their node
	// fell silent: longer than any transaction may take.
	BusyFor = 10 * time.Minute
	// CallTimeout is how long a node waits for the answer of a store.
	CallTimeout = 200 * time.Millisecond
)

// Errors of stores and members.
var (
	// ErrOutage: the store has not answered for so long that nothing new may begin.
	ErrOutage = errors.New("the store of the shared limits does not answer")
	// ErrForeign: the node may not join: its seal key or its protocol differs.
	ErrForeign = errors.New("the store of the shared limits is used by nodes with another key or protocol")
)

// Node names a process in the store.
type Node struct {
	// Name is the host's, by configuration; it stays over restarts.
	Name string
	// Incarnation is another one for each process: random, in hex. Two processes of one
	// name, such as the old and the new one of an upgrade, are two nodes.
	Incarnation string
}

// Report is what a node has and wants under one key, in absolute numbers: a report that is
// executed twice, or late, changes nothing more.
type Report struct {
	// Key is account.Account.MailboxKey, or a tenant's key.
	Key string
	// Seq rises with each report of the node for the key. A store refuses a report whose
	// Seq is not above the last.
	Seq     uint64
	Slots   SlotReport
	Permits [NumKinds]PermitReport
	// Hours are the node's own counts of the day, by hour since the Unix epoch: of
	// everything that any process of the node's name has counted. They are sent with the
	// first report of a key, and after the store has another epoch; the store raises what it
	// has for the name to them.
	Hours []Hour
}

// Hour is what a node has counted in one hour.
type Hour struct {
	Number               int64
	Messages, Recipients uint32
}

// SlotReport is about connections.
type SlotReport struct {
	// Limit is how many the mailbox may have over all nodes. 0: there is no limit, and
	// nothing is leased.
	Limit int
	// Have counts those in any state, from dialing to closing; Busy those of them that
	// carry a message; Want those that the node could use now, Have included.
	Have, Busy, Want int
}

// PermitReport is about one kind of permits.
type PermitReport struct {
	// Limit is how many may be used in a span over all nodes. 0: there is no limit, and
	// nothing is leased.
	Limit int
	// Settled counts, since the incarnation began, the permits whose message has ended and
	// counts at the provider. A store counts what is new in the slot in which it learns of
	// it.
	Settled uint64
	// Held is how many permits the node keeps: those of messages that run, and those that
	// are not used yet. What it held above that it has given back.
	Held int
	// Want is how many it wants to hold, Held included.
	Want int
}

// Grant is the answer to a report.
type Grant struct {
	Key string
	Seq uint64
	// Stale: the report was not executed, its Seq had passed.
	Stale bool
	// Slots is how many connections the node may have. If it is below Have, the node closes
	// parked connections, and others when their message has ended; they stay counted until
	// it reports less.
	Slots   int
	Permits [NumKinds]PermitGrant
	// Nodes is how many nodes have leases under the key, this one included: a batch of
	// permits is a part of the limit for each of them.
	Nodes int
}

// PermitGrant is the answer about one kind of permits.
type PermitGrant struct {
	// Held is how many permits the node holds now: Settled of the report has left.
	Held int
	// Used is what counts over all nodes: in the span, and held.
	Used int
	// Next is after how long the next permit becomes free, if Held is below Want.
	Next time.Duration
}

// Answer is a store's answer to a number of reports.
type Answer struct {
	// Epoch names the life of the store's data: another one says that some may be lost.
	Epoch  string
	Grants []Grant // one for each report, in order
}

// Claim says who refreshes a chain.
type Claim struct {
	// Fence is not 0 if this node may refresh: it goes with Commit or Abandon.
	Fence uint64
	// Record is what was published last, sealed; nil: nothing. Version rises with each one.
	Record  []byte
	Version uint64
}

// State is the state of an account by an order, in the words of package control; "" is
// none.
type State string

// Order is an operator's order for an account.
type Order struct {
	AccountID string
	State     State
	// Release asks each node to release the account from a provider's hold, once.
	Release bool
	// At is when it was given, by the clock of the node that took it.
	At   time.Time
	Node string
	// Number rises with each order in the store.
	Number uint64
	// Seen is the highest Number that the node had seen when it took the order: an order to
	// resume that has not seen the pause in force has crossed it, and loses.
	Seen uint64
}

// Info is what a node tells of itself.
type Info struct {
	Node
	Version string // of the program
	// Protocol is the number of what the nodes must agree on.
	Protocol int
	// KeyCheck is a value by which nodes see that they have one seal key; it does not tell
	// the key.
	KeyCheck string
	// Limits is a digest of the limits in force, to find nodes whose configuration drifts.
	Limits  string
	Since   time.Time
	Seen    time.Time // by the store's clock
	Members int       // keys that it has leased
}

// EventKind is what a store tells nodes of.
type EventKind uint8

// The events.
const (
	// Demand: a node wants slots under Key of which another one has some parked: who has,
	// renews now.
	Demand EventKind = iota
	// Freed: slots under Key became free, of which another node wants some: who wants,
	// renews now.
	Freed
	// Published: a record of the chain Key was committed, or its claim was abandoned: who
	// waits for the record, claims again.
	Published
	// Ordered: Order was given.
	Ordered
)

// Event is one thing that a store tells all nodes.
type Event struct {
	Kind  EventKind
	Key   string
	Order Order
}

// Store is where nodes lease. Its methods are safe for concurrent use; each is one round
// trip, ends with ctx, and gives an error if the answer is not known: the call may have been
// executed, or be executed later.
type Store interface {
	// Renew executes reports, each for itself.
	Renew(ctx context.Context, n Node, reports []Report) (Answer, error)
	// Claim asks for the right to refresh a chain for ttl. Without it, Fence is 0: another
	// node refreshes, and will publish.
	Claim(ctx context.Context, n Node, chain string, ttl time.Duration) (Claim, error)
	// Commit publishes a record, if the fence still holds, and ends the claim.
	Commit(ctx context.Context, n Node, chain string, fence uint64, record []byte) (held bool, err error)
	// Abandon ends a claim without a record.
	Abandon(ctx context.Context, n Node, chain string, fence uint64) error
	// Record returns what was published last of a chain; Fence is 0.
	Record(ctx context.Context, chain string) (Claim, error)
	// Order gives an order to all nodes, and keeps it until another one for the account.
	Order(ctx context.Context, o Order) error
	// Orders returns the orders in force.
	Orders(ctx context.Context) ([]Order, error)
	// Announce tells of this node, and is its sign of life. ErrForeign: it may not join.
	Announce(ctx context.Context, i Info) error
	// Nodes returns those that were announced lately, in the order of their names.
	Nodes(ctx context.Context) ([]Info, error)
	// Events calls f for each event until ctx ends, or the connection to the store; f must
	// not wait.
	Events(ctx context.Context, f func(Event)) error
	Close() error
}
