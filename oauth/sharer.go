package oauth

import (
	"context"
	"time"
)

// Sharer has one of several processes at a time refresh a chain, and tells the others what
// came. Its methods are safe for concurrent use; workers call them, and they may wait for the
// network. It guards the store of the processes, not the token endpoint: a process that lost
// its claim may have rotated the token all the same.
type Sharer interface {
	// Claim waits until this process may refresh the chain, or until another process has
	// published a record that is newer than have (Record.Newer). Errors: that of ctx, and
	// those of the store.
	Claim(ctx context.Context, c Chain, have Record) (Claim, error)
	// Publish ends a claim with what the refresh brought. held is false if the claim was
	// lost before: then r may hold the only good token, and is kept by this process alone.
	Publish(ctx context.Context, c Chain, fence uint64, r Record) (held bool, err error)
	// Abandon ends a claim without a record.
	Abandon(c Chain, fence uint64)
	// Published returns what was published last; nil: nothing.
	Published(ctx context.Context, c Chain) (*Record, error)
}

// Claim is the answer to a claim: a fence or a record.
type Claim struct {
	// Fence goes with Publish or Abandon; 0: this process may not refresh.
	Fence uint64
	// Until is when the claim ends, if it is not ended before.
	Until time.Time
	// Newer is what another process has published.
	Newer *Record
}
