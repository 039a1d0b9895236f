package forecast

import (
	"fmt"
	"time"

	"xoauth2-proxy/internal/hint"
)

const (
	// paceHours is how many full hours the pace is taken from, beside the one that runs.
	paceHours = 3
	// leastSpan is how long must have been counted for a pace.
	leastSpan = 15 * time.Minute
	// windowHours is how long an hour's count is counted: a day, and the hour that runs.
	windowHours = 25
)

// Count is what was counted for a limit of a day.
type Count struct {
	Provider string
	// Limit names the limit, as in "messages a day"; Max is its value, 0 for none.
	Limit string
	Max   int
	// Hint is what is seen when it is used up.
	Hint hint.ID
	// Accounts are the addresses that it is the limit of.
	Accounts []string
	// Hours has the counts of the hours, numbered since the Unix epoch.
	Hours map[int64]int
}

// usedUp returns when the limit will be used up.
func (c *Count) usedUp(now time.Time) (e Ending, ok bool) {
	hour, used := now.Unix()/3600, 0
	for h, n := range c.Hours {
		if h > hour-windowHours && h <= hour {
			used += n
		}
	}
	if c.Max <= 0 || 2*used < c.Max {
		return e, false
	}
	pace := c.pace(now) // for each second
	at, ok := c.end(now, used, pace)
	return Ending{At: at, Kind: DailyLimit, Provider: c.Provider, What: c.Limit, Accounts: c.Accounts,
		Hint:    c.Hint.String(),
		Detail:  fmt.Sprintf("%d of %d used, %.0f an hour", used, c.Max, pace*3600),
		Fails:   "the proxy takes no more of it until earlier mail is a day old: clients get 452 and try again",
		Remedy:  "send less for a while: a lower rate in the MTA, or the rest tomorrow",
		Assumes: "mail goes on at the pace of the last hours"}, ok
}

// pace is the count of a second: in the hours since the first of the last ones that has a
// count.
func (c *Count) pace(now time.Time) float64 {
	hour := now.Unix() / 3600
	first, sum := hour+1, 0
	for h := hour - paceHours; h <= hour; h++ {
		if n := c.Hours[h]; n > 0 {
			first, sum = min(first, h), sum+n
		}
	}
	span := now.Sub(time.Unix(first*3600, 0))
	if sum == 0 || span < leastSpan {
		return 0
	}
	return float64(sum) / span.Seconds()
}

// end continues the pace until the limit is used up or a day has passed.
func (c *Count) end(now time.Time, used int, pace float64) (at time.Time, ok bool) {
	at, left := now, float64(c.Max-used)
	for hour := now.Unix()/3600 + 1; left > 0; hour++ {
		next := time.Unix(hour*3600, 0)
		if in := next.Sub(at).Seconds() * pace; in >= left {
			return at.Add(time.Duration(left / pace * float64(time.Second))), true
		} else {
			left -= in
		}
		if next.Sub(now) > day {
			return at, false
		}
		at, left = next, left+float64(c.Hours[hour-windowHours])
	}
	return at, true
}
