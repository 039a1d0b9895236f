package upgrade

import (
	"context"
	"net"
)

// Giver has the stores of a process that is replaced: tokens, counts of the day, orders of
// operators, and the limits of the mailboxes. Package handover has it. Its methods are called
// one at a time.
type Giver interface {
	// Give closes the files, so that the process at the other end of the socket can open
	// them, and returns when that process has opened them all. From then on what this one
	// saves goes over the socket, and is kept until it is acknowledged; both take connections
	// and permits of a mailbox from one set. After an error the other process is ended, and
	// TakeBack called.
	//
	// The giver owns the socket. No session notices: messages go on, and what is to be saved
	// meanwhile waits in memory.
	Give(ctx context.Context, to *net.UnixConn) error
	// TakeBack opens the files again after Give: the other process has ended. What was not
	// acknowledged is saved now.
	TakeBack() error
}
