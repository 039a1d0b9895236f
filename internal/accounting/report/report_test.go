package report

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accounting"
	"xoauth2-proxy/internal/accounting/reading"
	"xoauth2-proxy/internal/testkit"
)

// tally reads files, and reports what is damaged.
func tally(t *testing.T, cfg Config, paths ...string) *Tally {
	t.Helper()
	sum, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	files, err := reading.Files(paths)
	if err != nil {
		t.Fatal(err)
	}
	r := reading.Reader{Record: func(w *reading.Row) { sum.Add(w) }, Damaged: func(at reading.Place, err error) { t.Errorf("%v: %v", at, err) }}
	for _, f := range files {
		if err := r.File(f); err != nil && !strings.Contains(err.Error(), reading.ErrForeign.Error()) {
			t.Error(err)
		}
	}
	return sum
}

// write writes a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "accounting.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const sample = `type,timeLogged,timeQueued,orig,rcpt,dlvSize,account,email,tenant,provider,class,hint,messageId,session,process,sequence,maybeAccepted,waitMs,late
d,2026-11-30T16:59:59.999Z,2026-11-30T16:59:59.000Z,a@x,1@y,100,acc1,one@x,x,gmail,,,m1,7,p,1,,10,
d,2026-11-30T16:59:59.999Z,2026-11-30T16:59:59.000Z,a@x,2@y,100,acc1,one@x,x,gmail,,,m1,7,p,2,,10,
d,2026-11-30T17:00:00.000Z,2026-11-30T17:00:00.000Z,a@x,1@y,40,acc1,one@x,x,gmail,,,m1,7,p,3,,20,
b,2026-11-30T17:00:00.000Z,2026-11-30T17:00:00.000Z,a@x,3@y,40,acc1,one@x,x,gmail,recipient,bad,m1,7,p,4,,20,
t,2026-11-30T17:10:00.000Z,2026-11-30T17:10:00.000Z,a@x,3@y,40,acc2,two@z,z,outlook,throttled,slow,m2,8,p,5,true,30,true
b,2026-11-30T17:10:00.000Z,,a@x,,,,,,,policy,unknown-user,,9,p,6,,,
`

func TestGroups(t *testing.T) {
	path := write(t, sample)
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct {
		cfg  Config
		want string
	}{
		{Config{By: []string{"account"}}, "[] 0/1/0 0 0; [acc1] 3/1/0 2 140; [acc2] 0/0/1 0 0"},
		{Config{By: []string{"email"}}, "[] 0/1/0 0 0; [one@x] 3/1/0 2 140; [two@z] 0/0/1 0 0"},
		{Config{By: []string{"tenant", "class"}}, "[ policy] 0/1/0 0 0; [x ] 3/0/0 2 140; [x recipient] 0/1/0 0 0; [z throttled] 0/0/1 0 0"},
		{Config{By: []string{"provider", "hint"}}, "[ unknown-user] 0/1/0 0 0; [gmail ] 3/0/0 2 140; [gmail bad] 0/1/0 0 0; [outlook slow] 0/0/1 0 0"},
		{Config{By: []string{"hour"}}, "[2026-11-30T16:00Z] 2/0/0 1 100; [2026-11-30T17:00Z] 1/2/1 1 40"},
		{Config{By: []string{"day"}}, "[2026-11-30] 3/2/1 2 140"},
		{Config{By: []string{"day"}, From: at("2026-11-30T17:00:00Z")}, "[2026-11-30] 1/2/1 1 40"},
		{Config{By: []string{"day"}, From: at("2026-11-30T17:00:00Z"), To: at("2026-11-30T17:10:00Z")}, "[2026-11-30] 1/1/0 1 40"},
		{Config{By: []string{"day"}, To: at("2026-11-30T16:00:00Z")}, ""},
	} {
		sum := tally(t, tt.cfg, path)
		var got []string
		var all Counts
		for _, g := range sum.Groups() {
			got = append(got, fmt.Sprintf("%v %d/%d/%d %d %d", g.Values, g.Delivered, g.Refused, g.Deferred, g.Messages, g.Octets))
			all = Counts{all.Delivered + g.Delivered, all.Refused + g.Refused, all.Deferred + g.Deferred,
				all.Messages + g.Messages, all.Octets + g.Octets, all.MaybeAccepted + g.MaybeAccepted, all.Late + g.Late}
		}
		if s := strings.Join(got, "; "); s != tt.want {
			t.Errorf("by %v: %s\nwant %s", tt.cfg.By, s, tt.want)
		}
		if all != sum.Total.Counts || all.MaybeAccepted != all.Deferred || all.Late != all.Deferred {
			t.Errorf("by %v: the groups are %+v, the total %+v", tt.cfg.By, all, sum.Total)
		}
		if p := sum.Processes(); len(p) != 1 || p[0].Records != 6 || !p[0].Whole() || sum.Again+sum.Unnumbered+sum.Untold != 0 {
			t.Errorf("by %v: %+v", tt.cfg.By, p)
		}
	}
	if _, err := New(Config{By: []string{"nothing"}}); err == nil || !strings.Contains(err.Error(), "account, class") {
		t.Error(err)
	}
	if got, want := Keys(), len(keys); len(got) != want || !slices.IsSorted(got) {
		t.Errorf("%q", got)
	}
}

// TestRepeated: a copy of a file adds nothing.
func TestRepeated(t *testing.T) {
	text := sample + `{"type":"drop","process":"p","firstSequence":7,"lastSequence":9,"count":3}` + "\n"
	path, copied := write(t, text), write(t, text)
	once, twice := tally(t, Config{}, path), tally(t, Config{}, path, copied)
	if once.Again != 0 || twice.Again != 7 || once.Total.Counts != twice.Total.Counts || once.Total.Recipients() != 6 {
		t.Errorf("%+v and %+v, %d again", once.Total, twice.Total, twice.Again)
	}
	for _, sum := range []*Tally{once, twice} {
		if p := sum.Processes(); len(p) != 1 || p[0].Dropped != 3 || p[0].Gaps != 0 {
			t.Errorf("%+v", p)
		}
	}
}

// TestMissing says what is missing, and why.
func TestMissing(t *testing.T) {
	const head = "type,process,sequence,aboutProcess,firstSequence,lastSequence,count\n"
	for _, tt := range []struct {
		name, text string
		want       []Process
	}{
		{"all is there, and it ended", "start,a,,,,0,0\nd,a,1,,,,\nd,a,2,,,,\nend,a,,,,2,0\n", []Process{{Process: "a", Records: 2, State: "ended"}}},
		{"it runs", "start,a,,,,0,0\nd,a,1,,,,\n", []Process{{Process: "a", Records: 1, State: "open"}}},
		{"out of order", "d,a,3,,,,\nd,a,1,,,,\nd,a,2,,,,\n", []Process{{Process: "a", Records: 3, State: "open"}}},
		{"a gap", "d,a,1,,,,\nd,a,4,,,,\n", []Process{{Process: "a", Records: 2, Gaps: 2, State: "open"}}},
		{"the first records", "d,a,4,,,,\n", []Process{{Process: "a", Records: 1, Gaps: 3, State: "open"}}},
		{"the last records, as the end says", "d,a,1,,,,\nend,a,,,,4,0\n", []Process{{Process: "a", Records: 1, Gaps: 3, State: "ended"}}},
		{"dropped", "d,a,1,,,,\ndrop,a,,,2,5,4\nd,a,6,,,,\nend,a,,,,6,4\n", []Process{{Process: "a", Records: 2, Dropped: 4, State: "ended"}}},
		{"dropped at the end", "d,a,1,,,,\ndrop,a,,,2,5,4\n", []Process{{Process: "a", Records: 1, Dropped: 4, State: "open"}}},
		{"killed", "d,a,1,,,,\nd,a,2,,,,\nstart,b,,a,,2,57\nd,b,1,,,,\n",
			[]Process{{Process: "a", Records: 2, Lost: 57, State: "killed"}, {Process: "b", Records: 1, State: "open"}}},
		{"killed, with a gap", "d,a,1,,,,\nd,a,4,,,,\nstart,b,,a,,5,57\n",
			[]Process{{Process: "a", Records: 2, Gaps: 3, Lost: 57, State: "killed"}, {Process: "b", State: "open"}}},
		{"cut off with the host", "d,a,1,,,,\nstart,b,,a,,1,\n",
			[]Process{{Process: "a", Records: 1, LostUnknown: true, State: "killed"}, {Process: "b", State: "open"}}},
		{"dropped of one file, and there in another", "d,a,1,,,,\ndrop,a,,,2,3,2\nd,a,2,,,,\nd,a,3,,,,\n", []Process{{Process: "a", Records: 3, State: "open"}}},
		{"a number that is far away", "d,a,1,,,,\nd,a,18446744073709551615,,,,\n", []Process{{Process: "a", Records: 2, Gaps: 1<<64 - 3, State: "open"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sum := tally(t, Config{}, write(t, head+tt.text))
			if got := sum.Processes(); !slices.Equal(got, tt.want) {
				t.Errorf("%+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestBounds has more of everything than is remembered: it is said, and the sums are right.
func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("type,process,sequence,account,dlvSize,session,timeQueued\n")
	for i := range maxGroups + 10 {
		fmt.Fprintf(&b, "d,p%d,%d,a%d,1,%d,2026-11-30T17:00:00Z\n", i%(maxProcesses+5), 1+i*pageSize, i, i)
	}
	sum := tally(t, Config{By: []string{"account"}}, write(t, b.String()))
	last := sum.Groups()[0]
	if !sum.Others || last.Values[0] != OthersName || last.Delivered != 10 || sum.Total.Delivered != maxGroups+10 || sum.Total.Octets != maxGroups+10 {
		t.Errorf("others %v: %+v of %+v", sum.Others, last, sum.Total)
	}
	if sum.Untold == 0 || len(sum.processes) != maxProcesses || sum.pages != 0 {
		t.Errorf("%d not compared, %d processes, %d pages left", sum.Untold, len(sum.processes), sum.pages)
	}
}

// TestLog writes logs as the proxy does, with more at once than it has room for, and files with
// some of the records beside: what is there and what is said to be missing is what was put.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	cfg := accounting.DefaultConfig()
	cfg.Directory, cfg.MinFree, cfg.RotateSize, cfg.Version = dir, 0, 1<<20, "test"
	cfg.Files = []accounting.File{{Name: "accounting.csv", Format: "csv"}, {Name: "bounces.json", Format: "json", Types: []string{"b", "start", "drop", "end"}}}
	const lives, puts = 3, 40_000
	for life := range lives {
		log, err := accounting.Open(cfg, zap.NewNop(), metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		accounts := []*account.Account{{ID: "one", Provider: "gmail"}, {ID: "two", Provider: "outlook"}}
		now := time.Now()
		for i := range puts {
			r := accounting.Record{Kind: accounting.Delivered, Queued: now, Done: now.Add(time.Duration(i)), Account: accounts[i%2], Session: uint64(i/4 + 1),
				From: []byte("=a,\"b\"@x"), Rcpt: fmt.Appendf(nil, "%d-%d@y", life, i), MessageID: []byte("<m\x80>"), Size: 10, Reply: codec.Reply{Code: 250, Text: "ok"}}
			if i%4 == 3 {
				r.Kind, r.Reply.Code, r.Class = accounting.Refused, 550, "recipient"
			}
			log.Put(&r)
		}
		testkit.Eventually(t, "all is written", func() bool { return log.Close() == nil })
	}
	sum := tally(t, Config{By: []string{"account"}}, dir)
	processes := sum.Processes()
	if len(processes) != lives {
		t.Fatalf("%+v", processes)
	}
	var records, dropped uint64
	for _, p := range processes {
		records, dropped = records+p.Records, dropped+p.Dropped
		if p.Records+p.Dropped != puts || p.Gaps+p.Lost != 0 || p.LostUnknown || p.State != "ended" {
			t.Errorf("%+v, %d were put", p, puts)
		}
	}
	t.Logf("%d records, %d dropped", records, dropped)
	if sum.Total.Recipients() != records || sum.Again < sum.Total.Refused+2*lives || sum.Unnumbered+sum.Untold != 0 {
		t.Errorf("%d records, %+v, %d again", records, sum.Total, sum.Again)
	}
	if two := sum.Groups()[1]; two.Values[0] != "two" || two.Refused != sum.Total.Refused {
		t.Errorf("%+v", two)
	}
	if found := count(t, NewQuery(`=a,"b"@X`, false), filepath.Join(dir, "accounting*")); uint64(found) != records {
		t.Errorf("%d of %d records are found", found, records)
	}
}

// count returns how many records of the files match.
func count(t *testing.T, q Query, paths ...string) (n int) {
	t.Helper()
	files, err := reading.Files(paths)
	if err != nil {
		t.Fatal(err)
	}
	r := reading.Reader{Record: func(w *reading.Row) {
		if q.Matches(w) {
			n++
		}
	}}
	for _, f := range files {
		if err := r.File(f); err != nil {
			t.Error(err)
		}
	}
	return n
}

func TestFind(t *testing.T) {
	path := write(t, "type,orig,rcpt,orcpt,envId,messageId,session\n"+
		"d,From@Example.com,To@Example.com,rfc822;Old+2BAddress@Example.com,QQ+3D1,<Id.1@Host.example>,77\n"+
		"start,,,,,,\n"+
		"b,<>,\"\"\"a b\"\"@example.com\",,,,\n")
	for _, tt := range []struct {
		text    string
		anyCase bool
		want    int
	}{
		{"To@Example.com", false, 1}, {"<To@EXAMPLE.COM>", false, 1}, {"to@Example.com", false, 0}, {"to@example.com", true, 1},
		{"From@example.com", false, 1}, {" From@Example.com\n", false, 1}, {"FROM@example.com", false, 0}, {"rom@example.com", true, 0},
		{"Old+Address@example.com", false, 1}, {"Old+2BAddress@example.com", false, 0}, {"old+address@example.com", true, 1},
		{"<Id.1@Host.example>", false, 1}, {"Id.1@Host.example", false, 1}, {"Id.1@host.example", false, 0}, {"id.1@host.example", true, 1},
		{"QQ+3D1", false, 1}, {"QQ=1", false, 1}, {"qq=1", false, 0}, {"77", false, 1}, {"7", false, 0},
		{`"a b"@EXAMPLE.com`, false, 1}, {"", true, 0}, {"d", true, 0}, {"@example.com", true, 0},
	} {
		if got := count(t, NewQuery(tt.text, tt.anyCase), path); got != tt.want {
			t.Errorf("%q, any case %v: %d records, want %d", tt.text, tt.anyCase, got, tt.want)
		}
	}
}

func TestSpread(t *testing.T) {
	var s spread
	if s.percentile(50) != 0 {
		t.Error(s.percentile(50))
	}
	for i := range 1000 {
		s.add(time.Duration(i+1) * time.Millisecond)
	}
	for p, want := range map[uint64]time.Duration{0: time.Millisecond, 50: 500 * time.Millisecond, 95: 950 * time.Millisecond, 100: time.Second} {
		if got := s.percentile(p); got < want || got > want+want/8 {
			t.Errorf("%d of 100: %v, want %v to an eighth more", p, got, want)
		}
	}
	last := -1
	for us := uint64(0); us < 1<<33; us += 1 + us/20 {
		at := bucketOf(us)
		if at != last && at != last+1 || endOf(at) < time.Duration(us)*time.Microsecond {
			t.Fatalf("%d us are in bucket %d after %d, which ends at %v", us, at, last, endOf(at))
		}
		last = at
	}
	s.add(365 * 24 * time.Hour)
	s.add(-1)
}
