package throttle

import "time"

// Kind says why an account sends nothing at all, in the order of gravity.
type Kind uint8

// The kinds.
const (
	NotSuspended Kind = iota
	Slowed            // it was slowed down though it had one connection only
	QuotaUsedUp       // the provider's quota is used up
	Held              // to repeat what the provider refused would do harm
)

var kindNames = [...]string{"", "throttled", "quota", "held"}

// String is the word for the admin API.
func (k Kind) String() string { return kindNames[k] }

// Suspension is a time in which no mail of an account leaves.
type Suspension struct {
	Kind   Kind
	Until  time.Time // zero: until an operator acts
	Reason string    // what the provider said
}

func (s *Suspension) on(now time.Time) bool {
	return s.Kind != NotSuspended && (s.Until.IsZero() || now.Before(s.Until))
}
