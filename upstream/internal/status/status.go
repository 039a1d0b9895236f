// Package status has the types of what a relay tells of its accounts.
package status

import (
	"time"

	"xoauth2-proxy/upstream/internal/failure"
)

// AccountState is what the relay has of one account at one moment.
type AccountState struct {
	// Dialing, Busy, Parked and Closing are its connections by state, Open all
	// of them together, which Limits.MaxConnections bounds.
	Dialing, Busy, Parked, Closing, Open int
	// Waiting is the number of its transactions that wait for a connection.
	Waiting int
	// Failures is the number of attempts to connect that failed in a row,
	// RetryAt when the next one may be made, LastError what the last one met;
	// zero after a success.
	Failures  int
	RetryAt   time.Time
	LastError *failure.Error
}

// Merge adds another part of the same account.
func (s *AccountState) Merge(o AccountState) {
	s.Dialing += o.Dialing
	s.Busy += o.Busy
	s.Parked += o.Parked
	s.Closing += o.Closing
	s.Open += o.Open
	s.Waiting += o.Waiting
	if s.LastError == nil || o.LastError != nil && o.RetryAt.After(s.RetryAt) {
		s.RetryAt, s.LastError = o.RetryAt, o.LastError
	}
	s.Failures = max(s.Failures, o.Failures)
}

// Use is how much of a limit an account has used.
type Use struct {
	// Limit is the name of the limit, as in "messages a day".
	Limit string
	Used  int
	// Max is the limit, 0 where there is none.
	Max int
}

// Standing is how the limits and the provider's replies restrict an account.
type Standing struct {
	// Uses are the limits of the account in some time; those that are not set
	// and not counted are left out.
	Uses []Use
	// Connections is how many connections the account may have now, because the
	// provider asked for less; 0 if as many as its limits say.
	Connections int
	// Stopped is why the account sends nothing: "throttled", "quota", or
	// "held" until ReleaseHold or a probe; empty if it sends. Until is when that
	// ends, zero if that is not known; Reason what the provider said.
	Stopped string
	Until   time.Time
	Reason  string
	// NextProbe is from when on the next message of a held account is passed on,
	// to see whether the provider takes it; zero if the account is not held.
	NextProbe time.Time
}

// Condition is what keeps an account, or a mailbox of a catch-all account, from
// sending as it could.
type Condition struct {
	// Stopped, Until and Reason are those of Standing.
	Stopped string
	Until   time.Time
	Reason  string
	// Throttled says that the provider asked for fewer connections.
	Throttled bool
	// Failure is why the last connection or login failed, nil after a success;
	// RetryAt is when the next may be tried.
	Failure *failure.Error
	RetryAt time.Time
}

// Activity is what an account does at one moment.
type Activity struct {
	AccountState
	Uses []Use // those of Standing; a catch-all account has none, its mailboxes have
}
