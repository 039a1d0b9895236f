package forecast

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/testkit"
)

var now = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// known returns an account of provider with a refresh token, of which nothing is known.
func known(provider string, change ...func(*Account)) Account {
	a := Account{Account: &account.Account{Email: "a@example.com", Provider: provider, ClientID: "c", RefreshToken: account.NewSecret("canary")}}
	for _, f := range change {
		f(&a)
	}
	return a
}

// TestTokens has each state of a refresh token with a running proxy and without one.
func TestTokens(t *testing.T) {
	used := func(a *Account) { a.Idle, a.Used, a.Seen = 90*day, now.Add(-10*day), now.Add(-50*day) }
	type ends []string // kind and days from now on
	for _, tt := range []struct {
		name             string
		a                Account
		running, stopped ends
	}{
		{"nothing known of the provider", known("own", func(a *Account) { a.Used = now }), nil, nil},
		{"used, nothing will use it", known("outlook", used), ends{"refresh_token_unused 80"}, ends{"refresh_token_unused 80"}},
		{"keep-alive will use it", known("outlook", used, func(a *Account) { a.NextUse = now.Add(17 * day) }), nil, ends{"refresh_token_unused 80"}},
		{"keep-alive comes too late", known("outlook", used, func(a *Account) { a.NextUse = now.Add(81 * day) }), ends{"refresh_token_unused 80"}, ends{"refresh_token_unused 80"}},
		{"keep-alive should have used it", known("outlook", used, func(a *Account) { a.NextUse = now.Add(-day) }), ends{"refresh_token_unused 80"}, ends{"refresh_token_unused 80"}},
		{"seen and never used", known("gmail", func(a *Account) { a.Idle, a.Seen = 181*day, now.Add(-day) }), ends{"refresh_token_unused 180"}, ends{"refresh_token_unused 180"}},
		{"it is over", known("outlook", func(a *Account) { a.Idle, a.Used = 90*day, now.Add(-91*day) }), ends{"refresh_token_unused -1"}, ends{"refresh_token_unused -1"}},
		{"it is refused", known("outlook", used, func(a *Account) { a.Refused, a.Ends = true, now }), nil, nil},
		{"the consent screen is in testing", known("gmail", func(a *Account) { a.Idle, a.Used, a.Ends, a.NextUse = 181*day, now, now.Add(7*day), now.Add(time.Hour) }),
			ends{"refresh_token_ends 7"}, ends{"refresh_token_ends 7", "refresh_token_unused 181"}},
		{"each use puts the end off", known("own", func(a *Account) { a.Used, a.Ends, a.Rolls, a.NextUse = now, now.Add(day), true, now.Add(time.Hour) }),
			nil, ends{"refresh_token_unused 1"}},
		{"another flow", known("outlook", used, func(a *Account) { a.Flow = account.FlowClientCredentials }), nil, nil},
	} {
		for stopped, want := range map[bool]ends{false: tt.running, true: tt.stopped} {
			var got ends
			f := Of(&Facts{Now: now, Stopped: stopped, Accounts: []Account{tt.a}})
			for _, e := range f.Endings {
				got = append(got, fmt.Sprintf("%s %d", e.Kind, e.At.Sub(now)/day))
				if e.Provider != tt.a.Provider || !slices.Equal(e.Accounts, []string{"a@example.com"}) || e.Fails == "" || e.Remedy == "" || e.Hint == "" ||
					strings.Contains(fmt.Sprint(e), "canary") {
					t.Errorf("%s: %+v", tt.name, e)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s, stopped %v: %q, want %q", tt.name, stopped, got, want)
			}
			if len(f.Notes) > 0 {
				t.Errorf("%s: notes %q", tt.name, f.Notes)
			}
		}
	}
}

// TestUnknown: what is not known is a note, and no ending.
func TestUnknown(t *testing.T) {
	a := known("outlook", func(a *Account) { a.Idle = 90 * day })
	f := Of(&Facts{Now: now, Stopped: true, Accounts: []Account{a, a}, Notes: []string{"another"}})
	if len(f.Endings) > 0 || len(f.Notes) != 2 || !strings.HasPrefix(f.Notes[0], "2 accounts: ") || f.Notes[1] != "another" {
		t.Errorf("%+v", f)
	}
}

// TestGrouped: accounts with one secret are one line with their number, those of another
// client, day or provider are others; the order is by date.
func TestGrouped(t *testing.T) {
	var accounts []Account
	add := func(n int, provider, client string, ends time.Duration) {
		for i := range n {
			accounts = append(accounts, known(provider, func(a *Account) {
				a.Email = fmt.Sprintf("%s%d@example.com", client, i)
				a.ClientID, a.ClientSecret, a.SecretExpires = client, account.NewSecret("s"), now.Add(ends)
			}))
		}
	}
	add(1, "gmail", "late", 20*day)
	add(40, "outlook", "one", 10*day)
	add(2, "outlook", "two", 10*day)
	add(1, "gmail", "soon", day)
	add(1, "own", "none", -day)
	all := Of(&Facts{Now: now, Accounts: accounts})
	if len(all.Endings) != 45 {
		t.Errorf("%d endings of 45 accounts", len(all.Endings))
	}
	var got []string
	for _, e := range all.Within(15 * day).Grouped().Endings {
		got = append(got, e.Subject())
	}
	want := []string{"client_id none, own, none0@example.com", "client_id soon, gmail, soon0@example.com",
		"client_id one, outlook, one0@example.com and 39 other accounts", "client_id two, outlook, two0@example.com and 1 other account"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if again := all.Grouped().Grouped(); len(again.Endings) != 5 || len(again.Endings[2].Accounts) != 40 {
		t.Errorf("%+v", again)
	}
}

// TestSilent: a secret that is not sent, and one without a date, have no ending.
func TestSilent(t *testing.T) {
	for _, change := range []func(*Account){
		func(a *Account) { a.SecretExpires = now.Add(day) },
		func(a *Account) { a.ClientSecret = account.NewSecret("s") },
	} {
		if f := Of(&Facts{Now: now, Accounts: []Account{known("outlook", change)}}); len(f.Endings) > 0 {
			t.Errorf("%+v", f)
		}
	}
}

// TestFirstEnd: the certificate of a chain that ends first counts. Of certificate authorities
// those that have ended count only if no other is left.
func TestFirstEnd(t *testing.T) {
	pem := func(ends time.Duration) []byte {
		return testkit.PublicPEM(testkit.CertificateUntil(now.Add(ends), "example.com"))
	}
	long, short, over, older := pem(90*day), pem(30*day), pem(-day), pem(-2*day)
	for _, tt := range []struct {
		name        string
		parts       [][]byte
		authorities bool
		want        time.Duration
	}{
		{"a chain", [][]byte{long, short}, false, 30 * day},
		{"a chain with one that is over", [][]byte{long, over}, false, -day},
		{"authorities", [][]byte{over, long, short}, true, 30 * day},
		{"authorities that are over", [][]byte{older, over}, true, -day},
		{"text before", [][]byte{[]byte("a comment\n"), short}, true, 30 * day},
	} {
		end, _, ok := FirstEnd(slices.Concat(tt.parts...), tt.authorities, now)
		if !ok || !end.Equal(now.Add(tt.want)) {
			t.Errorf("%s: %v, %v", tt.name, end.Sub(now), ok)
		}
	}
	if _, _, ok := FirstEnd([]byte("no certificate"), true, now); ok {
		t.Error("no certificate has an end")
	}
}

func TestParseWithin(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 30 * day, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "9999999d": 36500 * day,
		"": 0, "0d": 0, "-1h": 0, "-1d": 0, "soon": 0, "1.5d": 0, "30": 0} {
		if d, err := ParseWithin(text); d != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

// TestLimits has days of sending, and when the limit of 2,400 is used up.
func TestLimits(t *testing.T) {
	hour := now.Unix() / 3600
	for _, tt := range []struct {
		name  string
		at    time.Duration // since 12:00
		hours map[int64]int // by hours from 12:00 on
		want  time.Duration // since 12:00; 0: never
	}{
		{"nothing", 0, nil, 0},
		{"below half", 0, map[int64]int{-1: 1000}, 0},
		{"what is steady lasts", 30 * time.Minute, merged(steady(-24, -1, 95), map[int64]int{0: 47}), 0},
		{"three hours of morning", 0, map[int64]int{-3: 500, -2: 500, -1: 500}, 108 * time.Minute},
		{"within the hour", 30 * time.Minute, map[int64]int{-1: 1000, 0: 500}, 84 * time.Minute},
		{"a burst of minutes", 10 * time.Minute, map[int64]int{0: 2000}, 0},
		{"a burst that is over", 0, map[int64]int{-5: 2300}, 0},
		{"what is steady and too much", 0, steady(-24, -1, 98), 29*time.Minute + 23265*time.Millisecond},
		{"the window frees too late", 0, merged(map[int64]int{-10: 2000}, map[int64]int{-3: 30, -2: 30, -1: 30}), 10*time.Hour + 20*time.Minute},
		{"the window frees in time", 0, merged(map[int64]int{-24: 2000}, map[int64]int{-3: 90, -2: 90, -1: 90}), 0},
		{"used up", 0, map[int64]int{-2: 2400}, 0},
		{"beyond the day", 0, map[int64]int{-26: 2300, -1: 10}, 0},
	} {
		c := Count{Limit: "messages a day", Max: 2400, Hours: make(map[int64]int)}
		for h, n := range tt.hours {
			c.Hours[hour+h] = n
		}
		at := now.Add(tt.at)
		e, ok := c.usedUp(at)
		if tt.name == "used up" {
			if !ok || !e.At.Equal(at) {
				t.Errorf("%s: %v, %v", tt.name, e.At, ok)
			}
			continue
		}
		if ok != (tt.want > 0) || ok && e.At.Sub(now.Add(tt.want)).Abs() > time.Second {
			t.Errorf("%s: %v, %v, want %v: %s", tt.name, e.At.Sub(now), ok, tt.want, e.Detail)
		}
	}
}

func steady(from, to int64, n int) map[int64]int {
	hours := make(map[int64]int)
	for h := from; h <= to; h++ {
		hours[h] = n
	}
	return hours
}

func merged(a, b map[int64]int) map[int64]int {
	for h, n := range b {
		a[h] = n
	}
	return a
}
