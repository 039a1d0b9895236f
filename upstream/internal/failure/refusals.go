package failure

import (
	"fmt"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/upstream/internal/limit"
	"xoauth2-proxy/upstream/internal/throttle"
)

// LimitError refuses a message for a limit of ours.
type LimitError struct {
	Kind   limit.Kind
	Max    int
	After  time.Duration // when to come back
	Tenant string        // whose limit it is; "": the account's
}

func (e *LimitError) Error() string {
	whose := "this account"
	if e.Tenant != "" {
		whose = "the tenant " + e.Tenant
	}
	return fmt.Sprintf("%d %v for %s; try again in %d s", e.Max, e.Kind, whose, seconds(e.After))
}

// limitHints explain the limits.
var limitHints = [limit.NumKinds]hint.ID{
	limit.MessagesPerMinute: hint.LimitMessagesPerMinute, limit.MessagesPerHour: hint.LimitMessagesPerHour,
	limit.MessagesPerDay: hint.LimitMessagesPerDay, limit.RecipientsPerDay: hint.LimitRecipientsPerDay,
	limit.LoginsPerMinute: hint.LimitLoginsPerMinute, limit.TenantRecipientsPerDay: hint.LimitTenantRecipientsPerDay,
}

// Reply is 451 for limits that free a place soon, 452 for those of the day.
func (e *LimitError) Reply() codec.Reply {
	r := codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: "Limit of " + e.Error(), Hint: limitHints[e.Kind]}
	if e.Kind.OfDay() {
		r.Code = 452
	}
	return r
}

// stopError refuses a message because its account is suspended.
type stopError struct {
	kind   throttle.Kind
	after  time.Duration // when to come back; 0: not known
	reason string
}

// Stopped refuses a message because of s.
func Stopped(s *throttle.Suspension, now time.Time) *Error {
	e := &stopError{kind: s.Kind, reason: s.Reason}
	if !s.Until.IsZero() {
		e.after = s.Until.Sub(now)
	}
	return &Error{Phase: throttle.PhaseQueue, Err: e}
}

func (e *stopError) Error() string { return e.reply().Text }

// stopHints explain what an account is stopped by.
var stopHints = map[throttle.Kind]hint.ID{throttle.Held: hint.AccountHeld, throttle.QuotaUsedUp: hint.AccountQuota}

func (e *stopError) reply() codec.Reply {
	r := codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 0}, Hint: stopHints[e.kind].Or(hint.AccountThrottled)}
	switch e.kind {
	case throttle.Held:
		r.Text = "The account is held until an operator acts, the provider refused it: " + e.reason
	case throttle.QuotaUsedUp:
		r.Code, r.Enhanced = 452, codec.EnhancedCode{4, 7, 1}
		r.Text = "The provider's quota of the account is used up: " + e.reason
	default:
		r.Text = "The provider slows the account down: " + e.reason
	}
	if e.after > 0 {
		r.Text += fmt.Sprintf("; try again in %d s", seconds(e.after))
	}
	return r
}

// seconds rounds up, to at least one.
func seconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }
