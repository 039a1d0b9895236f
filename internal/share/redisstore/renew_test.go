package redisstore

import (
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/share"
)

func TestReports(t *testing.T) {
	n := share.Node{Name: "mx1", Incarnation: "a1"}
	r := share.Report{Key: "k", Seq: 7, Slots: share.SlotReport{Limit: 3, Have: 2, Busy: -1, Want: 4}, Hours: []share.Hour{{Number: 497000, Messages: 5, Recipients: 9}}}
	r.Permits[share.MessagesPerMinute] = share.PermitReport{Limit: 30, Settled: 100, Held: 2, Want: 3}
	r.Permits[share.MessagesPerDay] = share.PermitReport{Settled: 100, Held: 2, Want: 3} // no limit
	r.Permits[share.RecipientsPerDay] = share.PermitReport{Limit: 500, Settled: 1 << 52, Held: -1, Want: 1}
	c := callOf(n, []share.Report{r, {Key: "l", Seq: 1}})
	if want := []string{"xp:epoch", "xp:{k}:conn", "xp:{k}:min", "xp:{k}:rcpt", "xp:{l}:conn"}; !slices.Equal(c.keys, want) {
		t.Errorf("keys %q, want %q", c.keys, want)
	}
	want := "mx1|a1 mx1 xp:events k 7 3 2 0 4 2 0 30 100 2 3 3 500 4503599627370496 0 1 1 497000 5 9 l 1 0 0 0 0 0 0"
	if got := strings.Join(c.args, " "); got != want {
		t.Errorf("arguments\n%s, want\n%s", got, want)
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]share.Event{
		"dk":  {Kind: share.Demand, Key: "k"},
		"fk ": {Kind: share.Freed, Key: "k "},
		"p":   {Kind: share.Published},
		`o12 =paused 1|0|mx1 {"account":"a b","at":"0001-01-01T00:00:00Z","node":"mx1","seen":3}`: {Kind: share.Ordered, Key: "a b",
			Order: share.Order{AccountID: "a b", State: "paused", Node: "mx1", Seen: 3, Number: 12}},
	} {
		if got, ok := eventOf(text); !ok || got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"", "z", "o", "o12", "ox =paused 1 {}", "o12 =paused 1 {"} {
		if e, ok := eventOf(text); ok {
			t.Errorf("%q: %+v", text, e)
		}
	}
}

func TestNodesOfTheStore(t *testing.T) {
	good := []string{"mx|2|ff", `1790000000000 3:k%201 {"version":"v","limits":"l","since":"0001-01-01T00:00:00Z","members":4}`}
	i, err := nodeOf(good)
	if err != nil || i.Node != (share.Node{Name: "mx|2", Incarnation: "ff"}) || i.Protocol != 3 || i.KeyCheck != "k 1" || i.Seen.UnixMilli() != 1_790_000_000_000 || i.Members != 4 {
		t.Errorf("%+v, %v", i, err)
	}
	for _, bad := range [][]string{{"mx1|ff"}, {"mx1", good[1]}, {"mx1|ff", ""}, {"mx1|ff", "x 3:k {}"}, {"mx1|ff", "1 x:k {}"}, {"mx1|ff", "1 3:k {"}} {
		if i, err := nodeOf(bad); err == nil {
			t.Errorf("%q: %+v", bad, i)
		}
	}
}
