package handover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/oauth"
)

// Protocols that this program speaks.
const (
	oldestProtocol = 1
	newestProtocol = 1
)

// The kinds of messages. "N" is sent by the new process, "O" by the old one; all are
// questions.
const (
	kindHello    = "hello"    // N: hello; the answer is one too
	kindSnapshot = "snapshot" // N: copies of the files, as descriptors
	kindRefuse   = "refuse"   // N: a reason; it cannot go on from what the old one wrote
	kindReady    = "ready"    // N: the answer comes after the old one has closed its files
	kindOpened   = "opened"   // N: it has the files
	kindAbort    = "abort"    // O: a reason; the new one may not go on
	kindRecord   = "record"   // both: a record to be saved
	kindLoad     = "load"     // both: the record of a chain
	kindCounts   = "counts"   // both: counts to be added
	kindOrders   = "orders"   // O: orders that were given since it left the file
	kindDone     = "done"     // O: all is said
)

// hello says which protocols a process speaks.
type hello struct {
	Oldest int `json:"oldest"`
	Newest int `json:"newest"`
}

var ours = hello{Oldest: oldestProtocol, Newest: newestProtocol}

// ErrProtocol: the processes have no protocol in common.
var ErrProtocol = errors.New("the two programs have no protocol of the handover in common")

// common returns the newest protocol that both speak.
func (h hello) common(other hello) (int, error) {
	if p := min(h.Newest, other.Newest); p >= max(h.Oldest, other.Oldest) {
		return p, nil
	}
	return 0, fmt.Errorf("%w: one speaks %d to %d, the other one %d to %d", ErrProtocol, h.Oldest, h.Newest, other.Oldest, other.Newest)
}

// snapshot says what comes with the copies of the files.
type snapshot struct {
	Tokens bool `json:"tokens"` // the first descriptor
	Counts bool `json:"counts"` // the next one
}

// chain is oauth.Chain.
type chain struct {
	Account     string `json:"account"`
	Fingerprint []byte `json:"fingerprint"`
}

func chainFor(c oauth.Chain) chain { return chain{c.AccountID, c.Fingerprint[:]} }

func (c chain) chain() oauth.Chain {
	out := oauth.Chain{AccountID: c.Account}
	copy(out.Fingerprint[:], c.Fingerprint)
	return out
}

// record is oauth.Record with its secrets: the socket is private to the two processes.
type record struct {
	Chain        chain     `json:"chain"`
	Refresh      string    `json:"refresh,omitempty"`
	Rotated      time.Time `json:"rotated,omitzero"`
	RefreshEnds  time.Time `json:"refresh_ends,omitzero"`
	RefreshRolls bool      `json:"refresh_rolls,omitempty"`
	Access       string    `json:"access,omitempty"`
	Refreshed    time.Time `json:"refreshed,omitzero"`
	Expiry       time.Time `json:"expiry,omitzero"`
	Credentials  []byte    `json:"credentials,omitempty"`
	Seen         time.Time `json:"seen,omitzero"`
	Generation   uint64    `json:"generation,omitempty"`
	Spare        string    `json:"spare,omitempty"`
}

func recordFor(c oauth.Chain, r oauth.Record) record {
	return record{Chain: chainFor(c), Refresh: r.Refresh.Reveal(), Rotated: r.Rotated, RefreshEnds: r.RefreshEnds,
		RefreshRolls: r.RefreshRolls, Access: r.Access.Reveal(), Refreshed: r.Refreshed, Expiry: r.Expiry,
		Credentials: r.Credentials[:], Seen: r.Seen, Generation: r.Generation, Spare: r.Spare.Reveal()}
}

func (r record) saving() saving {
	out := oauth.Record{Refresh: account.NewSecret(r.Refresh), Rotated: r.Rotated,
		RefreshEnds: r.RefreshEnds, RefreshRolls: r.RefreshRolls,
		Access: account.NewSecret(r.Access), Refreshed: r.Refreshed, Expiry: r.Expiry, Seen: r.Seen,
		Generation: r.Generation, Spare: account.NewSecret(r.Spare)}
	copy(out.Credentials[:], r.Credentials)
	return saving{r.Chain.chain(), out}
}

// stored is the answer to what is to be saved.
type stored struct {
	// Here: it is on the disk. Else the process does not have the file.
	Here bool `json:"here"`
}

// loaded is the answer to kindLoad.
type loaded struct {
	stored
	Found  bool   `json:"found"`
	Record record `json:"record"`
}

// tellRecord has the other process save a record.
func tellRecord(ctx context.Context, link *frames.Conn, is saving) (saved bool, err error) {
	var answer stored
	_, err = link.Ask(ctx, kindRecord, recordFor(is.chain, is.record), &answer)
	return said(answer, err)
}

// said tells an answer of the other process apart from none. done: it answered that it has
// saved, or why it cannot.
func said(answer stored, err error) (done bool, _ error) {
	if remote, ok := errors.AsType[frames.RemoteError](err); ok {
		return true, remote
	}
	return err == nil && answer.Here, err
}

// askRecord returns a record of the other process; here is false if it does not have the
// file, or does not answer.
func askRecord(ctx context.Context, link *frames.Conn, c oauth.Chain) (r oauth.Record, ok, here bool, err error) {
	var answer loaded
	_, err = link.Ask(ctx, kindLoad, chainFor(c), &answer)
	here, err = said(answer.stored, err)
	return answer.Record.saving().record, answer.Found, here, err
}

// tellCounts has the other process add counts.
func tellCounts(ctx context.Context, link *frames.Conn, counted map[string]hours) (saved bool, err error) {
	var answer stored
	_, err = link.Ask(ctx, kindCounts, counted, &answer)
	return said(answer, err)
}

// order is an operator's order.
type order struct {
	Account string        `json:"account"`
	State   control.State `json:"state"`
	Since   time.Time     `json:"since,omitzero"`
}

// changes returns what was ordered between two times.
func changes(before, now map[string]control.Order) (changed []order) {
	for id, is := range now {
		if before[id] != is {
			changed = append(changed, order{id, is.State, is.Since})
		}
	}
	for id := range before {
		if _, there := now[id]; !there {
			changed = append(changed, order{Account: id, State: control.Active})
		}
	}
	return changed
}
