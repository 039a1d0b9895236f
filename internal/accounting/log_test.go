package accounting

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/testkit"
)

func TestMain(m *testing.M) {
	if os.Getenv(asVictim) != "" {
		victim(os.Getenv(asVictim))
	}
	goleak.VerifyTestMain(m)
}

// testConfig is for a log in dir without bounds of time and room.
func testConfig(dir string) Config {
	c := DefaultConfig()
	c.Directory, c.RotateEvery, c.MinFree = dir, 0, 0
	return c
}

// testLog is a log that ends with the test, and what it said.
type testLog struct {
	*Log
	set  *metrics.Set
	said *observer.ObservedLogs
}

func openLog(t *testing.T, c Config) *testLog {
	t.Helper()
	core, said := observer.New(zapcore.DebugLevel)
	l := &testLog{set: metrics.NewSet(), said: said}
	var err error
	if l.Log, err = Open(c, zap.New(core), l.set); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.end)
	return l
}

// end closes the log, once.
func (l *testLog) end() { _ = l.Close() }

// metric returns the value of a series.
func (l *testLog) metric(t *testing.T, series string) int {
	t.Helper()
	var page bytes.Buffer
	l.set.WritePrometheus(&page)
	for line := range strings.Lines(page.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
	}
	t.Fatalf("there is no %s in %s", series, page.String())
	return 0
}

// line is a line of a file, by the names of its fields.
type line map[string]string

// linesOf reads a file of CSV, which may be compressed.
func linesOf(t *testing.T, path string) (lines []line) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: %v, %d lines", path, err, len(rows))
	}
	for _, row := range rows[1:] {
		l := make(line)
		for i, name := range rows[0] {
			l[name] = row[i]
		}
		lines = append(lines, l)
	}
	return lines
}

// filesIn returns the files of the log in dir: rotated ones in their order, then the current one.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	rotated, err := filepath.Glob(filepath.Join(dir, "accounting-*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(rotated, filepath.Join(dir, "accounting.csv"))
}

// brief is the types of lines, with the numbers.
func brief(lines []line) string {
	var words []string
	for _, l := range lines {
		word := l["type"] + l["sequence"]
		if l["type"] == "drop" {
			word += fmt.Sprintf("(%s %s-%s %s)", l["count"], l["firstSequence"], l["lastSequence"], l["class"])
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func (l *testLog) put(kinds ...Kind) {
	for _, k := range kinds {
		r := someRecord()
		r.Kind = k
		l.Put(r)
	}
}

// TestRecordsOnDisk has records of two processes in a file, which others cannot read.
func TestRecordsOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	l := openLog(t, testConfig(dir))
	l.put(Delivered, Refused, Deferred)
	path := filepath.Join(dir, "accounting.csv")
	testkit.Eventually(t, "the records are on the disk", func() bool { b, _ := os.ReadFile(path); return bytes.Count(b, []byte("\n")) == 5 })
	l.end()
	l = openLog(t, testConfig(dir))
	l.put(Delivered)
	l.end()
	lines := linesOf(t, path)
	if got, want := brief(lines), "start d1 b2 t3 end start d1 end"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	first, second := lines[0], lines[5]
	if first["aboutProcess"] != "" || first["count"] != "0" || second["aboutProcess"] != first["process"] || second["lastSequence"] != "3" || second["count"] != "0" ||
		first["process"] == second["process"] {
		t.Errorf("start records %v, %v", first, second)
	}
	if end := lines[4]; end["lastSequence"] != "3" || end["count"] != "0" {
		t.Errorf("end record %v", end)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if n := l.metric(t, "accounting_records_total"); n != 1 {
		t.Errorf("%d records are counted", n)
	}
	if n := l.metric(t, "accounting_last_write_timestamp_seconds"); time.Since(time.Unix(int64(n), 0)) > time.Hour {
		t.Errorf("written last at %d", n)
	}
}

// TestSeveralFiles has files with formats, fields and types of their own.
func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	c := testConfig(dir)
	c.Files = []File{
		{Name: "all.csv", Format: "csv", Fields: []string{"type", "sequence"}, Types: []string{"d", "b", "t"}},
		{Name: "bad.json", Format: "json", Fields: []string{"type", "rcpt", "sequence", "process"}, Types: []string{"b", "start", "end"}},
	}
	for range 2 {
		l := openLog(t, c)
		l.put(Delivered, Refused, Deferred)
		l.end()
	}
	if got, err := os.ReadFile(filepath.Join(dir, "all.csv")); string(got) != "type,sequence\nd,1\nb,2\nt,3\nd,1\nb,2\nt,3\n" {
		t.Errorf("%q, %v", got, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "bad.json"))
	if lines := strings.Split(string(got), "\n"); err != nil || len(lines) != 7 || !strings.HasPrefix(lines[1], `{"type":"b","rcpt":"user@example.org","sequence":2,"process":"2`) ||
		!strings.HasPrefix(lines[5], `{"type":"end","process":"`) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNil: a log that is not there takes records, and allocates nothing.
func TestNil(t *testing.T) {
	var l *Log
	r := someRecord()
	if n := testing.AllocsPerRun(100, func() { l.Put(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestPutAllocatesNothing, also where it finds no room.
func TestPutAllocatesNothing(t *testing.T) {
	l := openLog(t, testConfig(t.TempDir()))
	release := l.hang(t)
	r := someRecord()
	if n := testing.AllocsPerRun(maxRecords+100, func() { l.Put(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	release()
}

// hang has the writer hang, as a disk makes it, until release is called.
func (l *testLog) hang(t *testing.T) (release func()) {
	t.Helper()
	hanging, end := make(chan struct{}), make(chan struct{})
	l.orders <- order{done: make(chan error, 1), do: func() error { close(hanging); <-end; return nil }}
	<-hanging
	return sync.OnceFunc(func() { close(end) })
}

// TestHangingDisk: records that find no room are dropped, the others are written when the
// disk comes back, and a drop record says which are missing.
func TestHangingDisk(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, testConfig(dir))
	release := l.hang(t)
	const more = 50
	for range maxRecords + more {
		l.put(Delivered)
	}
	if err := l.Reopen(); err == nil {
		t.Error("a writer that hangs is said to have reopened the files")
	}
	release()
	testkit.Eventually(t, "the writer is back", func() bool { return l.metric(t, "accounting_records_total") == maxRecords })
	l.put(Refused)
	l.end()
	lines := linesOf(t, filepath.Join(dir, "accounting.csv"))
	n := len(lines)
	if got, want := brief(lines[n-4:]), fmt.Sprintf("d%d drop(%d %d-%d full) b%d end", maxRecords, more, maxRecords+1, maxRecords+more, maxRecords+more+1); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if end := lines[n-1]; end["count"] != strconv.Itoa(more) {
		t.Errorf("end record %v", end)
	}
	if n := l.metric(t, `accounting_dropped_total{cause="full"}`); n != more {
		t.Errorf("%d drops are counted", n)
	}
}

// TestManyWriters puts records from several goroutines while the log is reopened: each
// number is on the disk, or within a drop record, once and in order.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	c := testConfig(dir)
	c.RotateSize, c.KeepDays, c.Compression = 256<<10, 0, "none"
	l := openLog(t, c)
	const writers, each = 4, 5000
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				l.put(Delivered)
			}
		})
	}
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	testkit.Eventually(t, "the writer has ended", func() bool { return l.Close() == nil }) // it may be slow
	next := 1
	for _, path := range filesIn(t, dir) {
		for _, r := range linesOf(t, path) {
			first, last := r["sequence"], r["sequence"]
			switch r["type"] {
			case "start", "end":
				continue
			case "drop":
				first, last = r["firstSequence"], r["lastSequence"]
			}
			if first != strconv.Itoa(next) {
				t.Fatalf("%s: number %s after %d", path, first, next-1)
			}
			next, _ = strconv.Atoi(last)
			next++
		}
	}
	if next != writers*each+1 {
		t.Errorf("the last number is %d", next-1)
	}
}

// TestLongTexts: a text that is longer than a record takes is cut.
func TestLongTexts(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, testConfig(dir))
	l.Put(&Record{Kind: Refused, Rcpt: bytes.Repeat([]byte("x"), 1<<20), Reply: codec.Reply{Code: 550, Text: strings.Repeat("y", 1<<20)}})
	l.end()
	r := linesOf(t, filepath.Join(dir, "accounting.csv"))[1]
	if len(r["rcpt"]) != maxField || len(r["dsnDiag"]) != maxField+len("smtp;550 ") {
		t.Errorf("%d and %d octets", len(r["rcpt"]), len(r["dsnDiag"]))
	}
}

// TestLock: a second log in the same directory is refused, one after the first has ended is not.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, testConfig(dir))
	if _, err := Open(testConfig(dir), zap.NewNop(), metrics.NewSet()); err == nil || !strings.Contains(err.Error(), "another process writes to "+dir) {
		t.Errorf("the second one: %v", err)
	}
	l.end()
	openLog(t, testConfig(dir)).end()
}

// TestPanic: a fault while records are written costs these records. A drop record says so, and
// those after them are written.
func TestPanic(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, testConfig(dir))
	f := l.writer.files[0]
	enc := f.enc
	use := func(e *encoder) {
		t.Helper()
		if err := l.order(order{do: func() error { f.enc = e; return nil }}); err != nil {
			t.Fatal(err)
		}
	}
	l.put(Delivered)
	use(nil) // which is written to after the record above
	l.put(Delivered, Refused)
	testkit.Eventually(t, "two records are dropped", func() bool { return l.metric(t, `accounting_dropped_total{cause="error"}`) == 2 })
	use(enc)
	l.put(Deferred)
	l.end()
	if got, want := brief(linesOf(t, filepath.Join(dir, "accounting.csv"))), "start d1 drop(2 2-3 error) t4 end"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if l.said.FilterMessageSnippet("panic").Len() == 0 {
		t.Error("the log does not say so")
	}
}
