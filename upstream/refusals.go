package upstream

import (
	"fmt"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/limit"
)

// limitError refuses a message for a limit of ours.
type limitError struct {
	kind  limit.Kind
	limit int
	after time.Duration // when to come back
}

func (e *limitError) Error() string {
	return fmt.Sprintf("%d %v for this account; try again in %d s", e.limit, e.kind, seconds(e.after))
}

// reply is 451 for limits that free a place soon, 452 for those of the day.
func (e *limitError) reply() codec.Reply {
	r := codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: "Limit of " + e.Error()}
	if e.kind.OfDay() {
		r.Code = 452
	}
	return r
}

// seconds rounds up, to at least one.
func seconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }
