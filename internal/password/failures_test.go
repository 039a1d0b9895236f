package password

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var began = time.Unix(1_800_000_000, 0)

func at(d time.Duration) time.Time { return began.Add(d) }

func TestFailuresDelay(t *testing.T) {
	f := newFailures(DefaultFailureConfig(), began)
	addr := netip.MustParseAddr("192.0.2.1")
	var delays []time.Duration
	for i := range 20 {
		if r := f.Refused(addr, began); r != 0 {
			t.Fatalf("refused for %v after %d failures", r, i)
		}
		delays = append(delays, f.Failed(addr, began)/time.Second)
	}
	if want := append([]time.Duration{0, 0, 0, 1, 2, 4}, slices.Repeat([]time.Duration{8}, 14)...); !slices.Equal(delays, want) {
		t.Errorf("delays %d s, want %d s", delays, want)
	}
	if r := f.Refused(addr, began); r != 10*time.Minute {
		t.Errorf("after 20 failures refused for %v", r)
	}
	if r := f.Refused(netip.MustParseAddr("192.0.2.2"), began); r != 0 {
		t.Errorf("the next address is refused for %v", r)
	}
}

func TestFailuresOverTime(t *testing.T) {
	type step struct {
		after    time.Duration // since the beginning
		fail, ok int           // logins then
		delay    time.Duration // of the last failure
		refused  time.Duration
	}
	tests := []struct {
		name  string
		steps []step
	}{
		{"forgotten one a minute", []step{
			{after: 0, fail: 6, delay: 4 * time.Second},
			{after: 3 * time.Minute, fail: 1, delay: time.Second},
			{after: time.Hour, fail: 3},
		}},
		{"a minute begins with the first failure", []step{
			{after: 59 * time.Second, fail: 4, delay: time.Second},
			{after: 118 * time.Second, fail: 1, delay: 2 * time.Second},
			{after: 120 * time.Second, fail: 1, delay: 2 * time.Second},
		}},
		{"refused until its time is over, and sooner again", []step{
			{after: 0, fail: 20, delay: 8 * time.Second, refused: 10 * time.Minute},
			{after: 9 * time.Minute, refused: time.Minute},
			{after: 10*time.Minute - 1, refused: 1},
			{after: 10 * time.Minute},
			{after: 10 * time.Minute, fail: 9, delay: 8 * time.Second},
			{after: 10 * time.Minute, fail: 1, delay: 8 * time.Second, refused: 10 * time.Minute},
		}},
		{"failures while refused do not prolong it", []step{
			{after: 0, fail: 20, delay: 8 * time.Second, refused: 10 * time.Minute},
			{after: 5 * time.Minute, fail: 1, delay: 8 * time.Second, refused: 5 * time.Minute},
		}},
		{"a thousand at once are not refused for a day", []step{
			{after: 0, fail: 1000, delay: 8 * time.Second, refused: 10 * time.Minute},
			{after: 40 * time.Minute, fail: 3},
		}},
		{"a success takes one back", []step{
			{after: 0, fail: 5, ok: 2, delay: 2 * time.Second},
			{after: 0, fail: 1, delay: time.Second},
		}},
		{"successes do not pay in advance", []step{
			{after: 0, ok: 50},
			{after: 0, fail: 4, delay: time.Second},
			{after: 0, ok: 50},
			{after: 0, fail: 4, delay: time.Second},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFailures(DefaultFailureConfig(), began)
			addr := netip.MustParseAddr("2001:db8::1")
			for i, s := range tt.steps {
				now := at(s.after)
				var delay time.Duration
				for range s.fail {
					delay = f.Failed(addr, now)
				}
				for range s.ok {
					f.Succeeded(addr, now)
				}
				if r := f.Refused(addr, now); delay != s.delay || r != s.refused {
					t.Errorf("step %d: delay %v, refused for %v, want %v, %v", i, delay, r, s.delay, s.refused)
				}
			}
		})
	}
}

func TestFailuresSources(t *testing.T) {
	tests := []struct {
		name, one, other string
		same             bool
	}{
		{"IPv4 addresses", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 in IPv6 clothes", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"one /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true},
		{"one /64, other zone", "fe80::1%eth0", "fe80::1%eth1", true},
		{"two /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"IPv6 that begins like an IPv4 address", "192.0.2.1", "0:0:c000:201::", false},
		{"zeros of both families", "0.0.0.0", "::", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFailures(DefaultFailureConfig(), began)
			one, other := netip.MustParseAddr(tt.one), netip.MustParseAddr(tt.other)
			for range 20 {
				f.Failed(one, began)
			}
			if f.Refused(one, began) == 0 || (f.Refused(other, began) > 0) != tt.same {
				t.Errorf("refused: %v, %v, want the same source = %v", f.Refused(one, began), f.Refused(other, began), tt.same)
			}
		})
	}
	f := newFailures(DefaultFailureConfig(), began)
	for range 100 {
		if d := f.Failed(netip.Addr{}, began); d != 0 || f.Refused(netip.Addr{}, began) != 0 {
			t.Fatal("a unix socket is counted")
		}
		f.Succeeded(netip.Addr{}, began)
	}
}

// TestFailuresTableIsBounded: when more sources fail than there is room for,
// those with the fewest failures are forgotten and refused ones stay refused.
func TestFailuresTableIsBounded(t *testing.T) {
	cfg := DefaultFailureConfig()
	cfg.Sources = waysPerBucket // one bucket
	f := newFailures(cfg, began)
	addr := func(i int) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(i))
		return netip.AddrFrom4(b)
	}
	for i := range waysPerBucket - 1 {
		for range cfg.Limit {
			f.Failed(addr(i), began)
		}
	}
	for i := 100; i < 1100; i++ {
		f.Failed(addr(i), at(5*time.Minute))
	}
	for i := range waysPerBucket - 1 {
		if f.Refused(addr(i), at(5*time.Minute)) == 0 {
			t.Errorf("source %d is free because others failed", i)
		}
	}
	later := at(10*time.Minute + 1) // refused no more, but not forgotten
	for range 10 {
		f.Failed(addr(50), later)
	}
	if d := f.Failed(addr(51), later); d != 0 {
		t.Errorf("a new source in a full bucket: delay %v, want none", d)
	}
	if d := f.Failed(addr(51), later); d != 0 {
		t.Errorf("its second failure: delay %v, want none", d)
	}
}

func TestFailuresConcurrently(t *testing.T) {
	cfg := DefaultFailureConfig()
	cfg.Sources = 64
	cfg.Limit = 1 << 15
	f := newFailures(cfg, began)
	addr := netip.MustParseAddr("192.0.2.1")
	var wait sync.WaitGroup
	for loop := range 8 {
		wait.Go(func() {
			for i := range 1000 {
				f.Failed(addr, began)
				f.Refused(addr, began)
				f.Succeeded(netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::", loop, i)), began)
			}
		})
	}
	wait.Wait()
	if b := f.lock([2]uint64{0xc0000201, 4}); f.find(b, [2]uint64{0xc0000201, 4}, 0).failures != 8000 {
		t.Error("failures were lost")
	}
}

func TestFailureConfigValidate(t *testing.T) {
	if err := DefaultFailureConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := FailureConfig{Free: 1}.Validate()
	for _, key := range []string{"sources", "limit", "free", "delay", "refuse_for", "forget"} {
		if err == nil || !strings.Contains(err.Error(), "failures: "+key) {
			t.Errorf("no problem with %s in: %v", key, err)
		}
	}
}

// Failed, Succeeded and Refused are by source.

func (f *failures) Failed(addr netip.Addr, now time.Time) time.Duration {
	k, ok := keyOf(addr)
	if !ok {
		return 0
	}
	return f.failed(k, now)
}

func (f *failures) Succeeded(addr netip.Addr, now time.Time) {
	if k, ok := keyOf(addr); ok {
		f.forgive(k, 1, now)
	}
}

func (f *failures) Refused(addr netip.Addr, now time.Time) time.Duration {
	k, ok := keyOf(addr)
	if !ok {
		return 0
	}
	_, refused, _ := f.look(k, now)
	return refused
}

// TestFreePlacesFirst: a right login is remembered while its bucket has a free place, though
// it has no failures.
func TestFreePlacesFirst(t *testing.T) {
	cfg := DefaultFailureConfig()
	cfg.Sources = waysPerBucket // one bucket
	f := newFailures(cfg, began)
	f.update(key{1, 2}, began, true, func(e *entry, _ int64) { e.right = true })
	for i := range uint64(waysPerBucket - 1) {
		f.failed(key{2 + i, 2}, began)
		if _, _, right := f.look(key{1, 2}, began); !right {
			t.Fatalf("forgotten for failure %d of others", i+1)
		}
	}
}
