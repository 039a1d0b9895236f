package limit

import (
	"math/rand/v2"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/forecast"
)

// TestForecastComesTrue: over 90 days of virtual time with another pace each day, the forecast
// of each half hour comes true: if the pace stays, a meter with the same counts is full at the
// time that is forecast, and has room all day if none is.
func TestForecastComesTrue(t *testing.T) {
	const most = 2377 // no pace meets it at a whole hour, where old counts go
	limits := &account.Limits{MessagesPerDay: most}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := newMeter(start, hourOf)
	m.Adopt(limits, start)
	dice := rand.New(rand.NewPCG(1, 2))
	full, silent := 0, 0
	for half := range 90 * 48 {
		now := start.Add(time.Duration(half) * 30 * time.Minute)
		pace := []int{0, 30, 80, 150, 400}[(half/48+dice.IntN(2))%5] + dice.IntN(20) // in half an hour
		if half%48 < 12 {
			pace = 0
		}
		hours := make(map[int64]int)
		m.Advance(now)
		m.Hours(true, func(n int64, messages, _ uint32) { hours[n] = int(messages) })
		c := forecast.Count{Limit: MessagesPerDay.String(), Max: most, Hours: hours}
		f := forecast.Of(&forecast.Facts{Now: now, Counts: []forecast.Count{c}})
		at, ends := fills(m, limits, hours, now)
		switch used, _ := m.Used(MessagesPerDay); {
		case 2*used < most:
			if len(f.Endings) > 0 {
				t.Errorf("%v: %d of %d used: %+v", now, used, most, f.Endings)
			}
		case ends != (len(f.Endings) > 0):
			t.Errorf("%v: the meter fills: %v at %v; forecast: %+v", now, ends, at, f.Endings)
		case ends:
			if off := f.Endings[0].At.Sub(at); off.Abs() > 2*time.Minute {
				t.Errorf("%v: the meter is full at %v, forecast was %v", now, at, f.Endings[0].At)
			}
			full++
		default:
			silent++
		}
		for range min(pace, m.Room(limits)) {
			m.Take(limits, 1)
			m.Settle(now, 1, 1)
		}
	}
	if full < 100 || silent < 100 {
		t.Errorf("%d forecasts came true, %d times there was none", full, silent)
	}
}

// fills sends at the pace of the last hours into a meter with the counts of m, minute by
// minute for a day, and returns when it is full.
func fills(m *Meter, limits *account.Limits, hours map[int64]int, now time.Time) (at time.Time, ok bool) {
	again := newMeter(now, hourOf)
	again.Adopt(limits, now)
	m.Hours(true, func(n int64, messages, recipients uint32) { again.Restore(n, messages, recipients) })
	first, sum := hourOf(now)+1, 0
	for h := hourOf(now) - 3; h <= hourOf(now); h++ {
		if hours[h] > 0 {
			first, sum = min(first, h), sum+hours[h]
		}
	}
	span := now.Sub(time.Unix(first*3600, 0))
	if span < 15*time.Minute {
		sum, span = 0, time.Hour
	}
	due := 0.0
	for minute := range 24 * 60 {
		if at = now.Add(time.Duration(minute) * time.Minute); again.Room(limits) <= 0 {
			return at, true
		}
		again.Advance(at)
		for due += float64(sum) / span.Minutes(); due >= 1 && again.Room(limits) > 0; due-- {
			again.Take(limits, 1)
			again.Settle(at, 1, 1)
		}
	}
	return at, false
}
