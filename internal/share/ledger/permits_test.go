package ledger

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
)

// use is one report about a kind of permits, and what is to come of it.
type use struct {
	at         time.Duration
	node       string
	settled    uint64
	held, want int
	busy       int // connections with a message
	hours      []share.Hour

	granted, used int
	next          time.Duration
}

func TestPermits(t *testing.T) {
	const s, min, h = time.Second, time.Minute, time.Hour
	hour := start.Unix() / 3600
	tests := []struct {
		name  string
		kind  share.Kind
		limit int
		reset bool
		uses  []use
	}{
		{"what is wanted, as far as there is room", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 4, 0, nil, 4, 4, 0},
			{0, "b", 0, 0, 9, 0, nil, 6, 10, 5 * s},
			{0, "a", 0, 4, 5, 0, nil, 4, 10, 5 * s}}},
		{"what is given back is there for others", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{s, "a", 0, 3, 3, 0, nil, 3, 3, 0},
			{s, "b", 0, 0, 10, 0, nil, 7, 10, 5 * s}}},
		{"never below what is held", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{s, "b", 0, 5, 0, 0, nil, 5, 15, 0},
			{s, "b", 0, 5, 9, 0, nil, 5, 15, 5 * s}}},
		{"what was settled counts from when it was learned, a span and the rest of its slot", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{s + s/2, "a", 4, 6, 6, 0, nil, 6, 10, 0},
			{2 * s, "a", 10, 0, 10, 0, nil, 0, 10, 60 * s},
			{62*s - time.Millisecond, "a", 10, 0, 10, 0, nil, 0, 10, time.Millisecond},
			{62 * s, "a", 10, 0, 10, 0, nil, 4, 10, s},
			{63 * s, "a", 10, 4, 10, 0, nil, 10, 10, 0}}},
		{"a window of an hour", share.MessagesPerHour, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{s, "a", 10, 0, 1, 0, nil, 0, 10, h + min - s},
			{h + min, "a", 10, 0, 1, 0, nil, 1, 1, 0}}},
		{"a window of a day", share.RecipientsPerDay, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{59 * min, "a", 10, 0, 1, 0, nil, 0, 10, 24*h + min},
			{25 * h, "a", 10, 0, 1, 0, nil, 1, 1, 0}}},
		{"what a silent node held for no message counts a span from its end", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 6, 0, nil, 6, 6, 0},
			{14 * s, "b", 0, 0, 10, 0, nil, 4, 10, 5 * s},
			{15 * s, "b", 0, 4, 10, 0, nil, 4, 10, 61 * s},
			{29 * s, "b", 0, 4, 10, 0, nil, 4, 10, 47 * s},
			{76*s - time.Millisecond, "b", 0, 4, 10, 0, nil, 4, 10, time.Millisecond},
			{76 * s, "b", 0, 4, 10, 0, nil, 10, 10, 0}}},
		{"what it held for messages counts a span from the transaction timeout", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 3, nil, 10, 10, 0},
			{76 * s, "b", 0, 0, 10, 0, nil, 7, 10, 285 * s},
			{361*s - time.Millisecond, "b", 0, 7, 10, 0, nil, 7, 10, time.Millisecond},
			{361 * s, "b", 0, 7, 10, 0, nil, 10, 10, 0}}},
		{"a node that returns says what became of it", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 0, nil, 10, 10, 0},
			{20 * s, "b", 0, 0, 10, 0, nil, 0, 10, 56 * s},
			{21 * s, "a", 2, 1, 1, 0, nil, 1, 3, 0},
			{21 * s, "b", 0, 0, 10, 0, nil, 7, 10, 61 * s}}},
		{"what a node settled before its first report is not known", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 7000, 3, 5, 0, nil, 5, 5, 0},
			{s, "a", 7003, 2, 2, 0, nil, 2, 5, 0}}},
		{"hours are raised, for all incarnations of a name together", share.MessagesPerDay, 100, false, []use{
			{30 * min, "a/1", 0, 0, 1, 0, []share.Hour{{Number: hour - 1, Messages: 20}, {Number: hour, Messages: 5}}, 1, 26, 0},
			{30 * min, "a/1", 1, 0, 0, 0, []share.Hour{{Number: hour - 1, Messages: 20}, {Number: hour, Messages: 5}}, 0, 26, 0},
			{31 * min, "a/2", 0, 0, 0, 0, []share.Hour{{Number: hour - 1, Messages: 20}, {Number: hour, Messages: 9}}, 0, 29, 0},
			{31 * min, "b/1", 0, 0, 0, 0, []share.Hour{{Number: hour, Messages: 9}}, 0, 38, 0}}},
		{"recipients are not messages", share.RecipientsPerDay, 100, false, []use{
			{0, "a", 0, 0, 0, 0, []share.Hour{{Number: hour, Messages: 20, Recipients: 30}}, 0, 30, 0}}},
		{"hours outside the window do not count, those to come are now", share.MessagesPerDay, 100, false, []use{
			{0, "a", 0, 0, 0, 0, []share.Hour{{Number: hour - 25, Messages: 20}}, 0, 0, 0},
			{0, "a", 0, 0, 0, 0, []share.Hour{{Number: hour - 24, Messages: 3}, {Number: hour + 5, Messages: 4}}, 0, 7, 0},
			{h, "a", 0, 0, 100, 0, nil, 96, 100, 24 * h}}},
		{"hours count for a window of an hour from the end of their hour", share.MessagesPerHour, 100, false, []use{
			{30 * min, "a", 0, 0, 100, 0, []share.Hour{{Number: hour - 2, Messages: 50}, {Number: hour - 1, Messages: 20}, {Number: hour, Messages: 5}}, 75, 100, 30 * min},
			{61 * min, "a", 0, 75, 100, 0, []share.Hour{{Number: hour - 1, Messages: 20}, {Number: hour, Messages: 5}}, 95, 100, 30 * min}}},
		{"hours are not for a window of a minute", share.MessagesPerMinute, 10, false, []use{
			{0, "a", 0, 0, 10, 0, []share.Hour{{Number: hour, Messages: 20}}, 10, 10, 0}}},
		{"after a reset permits of a minute wait", share.MessagesPerMinute, 10, true, []use{
			{s, "a", 50, 3, 5, 0, nil, 3, 3, 75 * s},
			{2 * s, "a", 52, 1, 5, 0, nil, 1, 3, 74 * s},
			{76*s - time.Millisecond, "a", 52, 1, 5, 0, nil, 1, 1, time.Millisecond},
			{76 * s, "a", 52, 1, 5, 0, nil, 5, 5, 0}}},
		{"after a reset permits of a day wait for the hours", share.MessagesPerDay, 10, true, []use{
			{0, "a", 50, 0, 5, 0, nil, 0, 0, 15 * s},
			{s, "a", 51, 0, 5, 0, []share.Hour{{Number: hour, Messages: 7}}, 0, 7, 25*h - s},
			{15 * s, "a", 51, 0, 5, 0, nil, 3, 10, 25*h - 15*s}}},
		{"logins", share.LoginsPerMinute, 2, false, []use{
			{0, "a", 0, 0, 2, 0, nil, 2, 2, 0},
			{0, "b", 0, 0, 1, 0, nil, 0, 2, 5 * s}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, Config{Reset: tt.reset, BusyFor: 5 * time.Minute})
			for i, u := range tt.uses {
				b.at(u.at)
				r := share.Report{Hours: u.hours, Slots: share.SlotReport{Have: u.busy, Busy: u.busy}}
				r.Permits[tt.kind] = share.PermitReport{Limit: tt.limit, Settled: u.settled, Held: u.held, Want: u.want}
				want := share.PermitGrant{Held: u.granted, Used: u.used, Next: u.next}
				if got := b.report(u.node, r).Permits[tt.kind]; got != want {
					t.Errorf("use %d: %+v, want %+v", i, got, want)
				}
			}
		})
	}
}

func TestPermitsWithoutALimit(t *testing.T) {
	b := newBench(t, Config{})
	for _, limit := range []int{0, 5, 0} {
		var r share.Report
		r.Permits[share.MessagesPerDay] = share.PermitReport{Limit: limit, Settled: 8, Want: 7}
		want := share.PermitGrant{Held: 7}
		if limit > 0 {
			want = share.PermitGrant{Held: 5, Used: 5, Next: share.RenewEvery}
		}
		if got := b.report("a", r).Permits[share.MessagesPerDay]; got != want {
			t.Errorf("limit %d: %+v, want %+v", limit, got, want)
		}
	}
}

func TestStrictestLimitOfPermitsHolds(t *testing.T) {
	b := newBench(t, Config{})
	for i, tt := range []struct {
		node               string
		limit, want, grant int
	}{{"a", 10, 4, 4}, {"b", 5, 4, 1}, {"a", 10, 9, 4}} {
		var r share.Report
		r.Permits[share.MessagesPerMinute] = share.PermitReport{Limit: tt.limit, Want: tt.want}
		if i == 2 {
			r.Permits[share.MessagesPerMinute].Held = 4
		}
		if got := b.report(tt.node, r).Permits[share.MessagesPerMinute].Held; got != tt.grant {
			t.Errorf("%d: %d granted, want %d", i, got, tt.grant)
		}
	}
}

// Nothing stays of nodes and counts that are gone.
func TestForgets(t *testing.T) {
	b := newBench(t, Config{})
	full := func(node string) {
		r := share.Report{Slots: share.SlotReport{Limit: 3, Have: 1, Busy: 1, Want: 1}}
		for k := range share.NumKinds {
			r.Permits[k] = share.PermitReport{Limit: 10, Settled: 5, Held: 2, Want: 2}
		}
		b.report(node, r)
		for k := range share.NumKinds {
			r.Permits[k].Settled++
		}
		b.report(node, r)
	}
	for i := range 100 {
		b.at(time.Duration(i) * time.Hour)
		full("node" + string(rune('a'+i%26)))
	}
	e := b.keys["mailbox"]
	if len(e.rows) > 26 {
		t.Errorf("%d rows", len(e.rows))
	}
	b.at(200 * time.Hour)
	full("last")
	if len(e.rows) != 1 {
		t.Errorf("%d rows after all others fell silent long ago", len(e.rows))
	}
	for k, w := range e.windows {
		if len(w) != 1 {
			t.Errorf("kind %d: %d slots", k, len(w))
		}
	}
}
