package share

import "time"

// Pool is what the pool of connections asks of a [Member]. A nil Pool shares nothing.
type Pool interface {
	// Join begins to share what is under key. changed is called after what the node may
	// use has changed, on any goroutine; it must not wait.
	Join(key string, changed func()) Mailbox
}

// Mailbox is what this node may use under one key. Its methods are safe for concurrent use,
// and none waits.
type Mailbox interface {
	// Limit says what the limits are now; 0: there is none.
	Limit(slots int, permits [NumKinds]int)
	// Restore says what the node has counted in an hour before this process began.
	Restore(h Hour)

	// Connections is how many connections the node may have at this moment: none may be
	// opened beyond it. Connections above it are to be closed, as soon as they carry no
	// message.
	Connections() int
	// Messages is how many connections may carry a message at this moment: math.MaxInt32
	// while the lease holds. After its end it is as many as the store is sure to know of: the
	// messages of the others are ended, unless their end-of-data has left.
	Messages() int
	// Report says how many connections there are, in any state; how many of them carry a
	// message; and how many could be used, have included. It is called after each change.
	Report(have, busy, want int)

	// Room is how many permits of a kind are free to be taken; math.MaxInt32 without a
	// limit.
	Room(k Kind) int
	// Want says how many messages wait for permits of a kind; for RecipientsPerDay, how many
	// permits the next message takes. The member gets some ahead of what is wanted by itself.
	Want(k Kind, n int)
	// Take takes a permit, if one is free.
	Take(k Kind) bool
	// Settle ends the use of taken permits, of which counted count at the provider; the
	// others are free again.
	Settle(k Kind, taken, counted int)
	// Wait returns when the next permit becomes free, by the last answer of the store; ok
	// is false if the store has not said that there are fewer than are wanted.
	Wait(k Kind) (until time.Time, ok bool)

	// Err is ErrOutage, perhaps with a reason, while nothing new may begin, else nil.
	Err() error
	// Leave gives all back. Nothing may be in use.
	Leave()
}
