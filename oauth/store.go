package oauth

import (
	"crypto/sha256"
	"time"

	"xoauth2-proxy/internal/account"
)

// Chain names the refresh tokens that descend from one configured refresh token:
// the provider rotated each from the one before. Another refresh token or client
// in the accounts file makes another chain.
type Chain struct {
	AccountID   string
	Fingerprint [sha256.Size]byte // Account.ChainFingerprint
}

// ChainOf returns the chain of an account.
func ChainOf(a *account.Account) Chain {
	return Chain{AccountID: a.ID, Fingerprint: a.ChainFingerprint()}
}

// Record is the stored state of a chain.
type Record struct {
	// Refresh is the newest refresh token, zero when it is the configured one.
	Refresh account.Secret
	// Rotated is when the provider gave it.
	Rotated time.Time
	// RefreshEnds is when the newest refresh token ends, by the provider's answer; zero if
	// that does not say. RefreshRolls: a use of the token puts the end off.
	RefreshEnds  time.Time
	RefreshRolls bool
	// Access is the newest access token, zero when there is none, Refreshed
	// when it was issued and Expiry when it ends.
	Access    account.Secret
	Refreshed time.Time
	Expiry    time.Time
	// Credentials is the Account.CredentialsFingerprint under which Access was got.
	// With other credentials Access is no longer the account's.
	Credentials [sha256.Size]byte
	// Seen is when the proxy first met the chain.
	Seen time.Time
	// Generation counts the refreshes since processes share the chain; 0: the last one was
	// made by a process that shares with none.
	Generation uint64
	// Spare is a refresh token that this process got by a refresh that crossed the one of
	// another process. It is tried if Refresh is no longer good.
	Spare account.Secret
}

// Newer reports whether r, which was published, takes the place of have. No clock decides
// between records that were shared, and what was published wins a tie.
func (r *Record) Newer(have *Record) bool {
	switch {
	case r.Refresh == have.Refresh && r.Access == have.Access:
		return false
	case r.Generation == 0 || have.Generation == 0:
		return r.LastUse().After(have.LastUse())
	}
	return r.Generation >= have.Generation
}

// inPlaceOf returns r, which another process has published, as it is kept in the place of
// have. The clock of the other process may be ahead: its times are put back until now.
func (r Record) inPlaceOf(have *Record, now time.Time) Record {
	if ahead := r.Refreshed.Sub(now); ahead > 0 {
		r.Refreshed, r.Expiry = now, r.Expiry.Add(-ahead)
	}
	r.Spare = account.Secret{}
	if r.Refresh != have.Refresh && (r.Generation == have.Generation || have.Generation == 0) {
		r.Spare = have.Refresh
	}
	return r
}

// LastUse is when the refresh token was used or issued last, zero if it is not known that it
// ever was. A token that was not used since is older than Seen.
func (r *Record) LastUse() time.Time {
	if r.Rotated.After(r.Refreshed) {
		return r.Rotated
	}
	return r.Refreshed
}

// noteEnd notes what the answer to a refresh says about the end of the refresh token; zero:
// nothing, which holds for a new token only.
func (r *Record) noteEnd(ends, now time.Time, rotated bool) {
	if ends.IsZero() && !rotated {
		return
	}
	if since := now.Sub(r.Refreshed); ends.IsZero() || r.RefreshEnds.IsZero() {
		r.RefreshRolls = false
	} else if since > time.Minute { // else rounding counts for more
		r.RefreshRolls = ends.Sub(r.RefreshEnds) > since/2
	}
	r.RefreshEnds = ends
}

// Store keeps the state of chains across restarts. Its methods are safe for
// concurrent use and may do I/O: workers call them, never a caller of Source. An
// error must not hold a token.
type Store interface {
	// Load returns the saved state of the chain; ok is false if there is none.
	Load(c Chain) (r Record, ok bool, err error)
	// Save keeps r as the state of the chain. When it returns nil, r is durable,
	// and other chains of the account may be forgotten.
	Save(c Chain, r Record) error
	// Retain says which chains are live. The store may forget a chain that has not
	// been live for a long time, or that holds nothing of use.
	Retain(live func(Chain) bool) error
}
