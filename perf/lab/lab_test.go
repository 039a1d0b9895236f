package lab

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"xoauth2-proxy/loadgen/report"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 2, 100}, 3}} {
		if got := Median(tt.values); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.values, got, tt.want)
		}
	}
}

func TestSummarize(t *testing.T) {
	run := func(rate, cpu float64, failed int64, holds bool) *report.Report {
		return &report.Report{Total: report.Phase{Rate: rate, Refused: failed, Latency: report.Quantiles{P95: report.Millis(rate / 10)}},
			Server: &report.Process{CPUPerMessage: cpu, PeakResident: int64(cpu * 1e6)}, Proof: &report.Proof{Holds: holds}}
	}
	f := Summarize([]*report.Report{run(300, 10, 0, true), run(100, 30, 2, false), run(200, 20, 1, true)})
	if f.Runs != 3 || f.Rate != 200 || f.CPU != 20 || f.P95 != 20 || f.Resident != 30 || f.Failed != 3 || f.Unproven != 1 {
		t.Errorf("figures = %+v", f)
	}
	if f := Summarize([]*report.Report{{}}); f.CPU != 0 || f.Unproven != 0 {
		t.Errorf("without a server: %+v", f)
	}
}

// TestOver: rounds are compared each with its own.
func TestOver(t *testing.T) {
	slow, fast := &Candidate{Name: "slow"}, &Candidate{Name: "fast"}
	for _, speed := range []float64{1, 3, 2} { // of the machine, round by round
		slow.Note("load", &report.Report{Total: report.Phase{Rate: 100 * speed}})
		fast.Note("load", &report.Report{Total: report.Phase{Rate: 150 * speed}, Server: &report.Process{CPUPerMessage: 1}})
	}
	if got := fast.Over(slow, "load", Throughput).Median(); got != 1.5 {
		t.Errorf("ratio %v, want 1.5", got)
	}
	if got := fast.Over(slow, "load", CPU).Median(); got != 0 {
		t.Errorf("ratio %v to an unknown value", got)
	}
	if got := fast.Over(nil, "load", Throughput).Median(); got != 0 {
		t.Errorf("ratio %v to no subject", got)
	}
	for text, r := range map[string]Ratios{"-": nil, "1.50": {1, 2}, "3.00 (2.00 to 4.00)": {5, 1, 4, 2, 3}} {
		if got := r.String(); got != text {
			t.Errorf("%v is rendered as %q, want %q", []float64(r), got, text)
		}
	}
}

func TestTable(t *testing.T) {
	table := &Table{Title: "Title", Header: []string{"name", "value"}}
	table.Add("a", 1234.5)
	table.Add("b", math.Inf(1))
	table.Add("c", List(3, 0.5, report.Millis(1), "d"))
	want := "### Title\n\n| name | value |\n| --- | ---: |\n| a | 1234 |\n| b | - |\n| c | 3, 0.50, 1.00, d |\n\n"
	if got := table.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestQuantile(t *testing.T) {
	for q, want := range map[float64]float64{0: 10, .5: 30, 1: 50, .75: 40, .9: 46} {
		if got := Quantile([]float64{50, 10, 20, 40, 30}, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{0: "-", 0.123: "0.12", 1.5: "1.50", 12.34: "12.3", 1234.5: "1234", -0.5: "-0.50", -123.4: "-123"} {
		if got := Number(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}

func TestReadAccounts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts.json")
	err := Try(func() {
		WriteAccounts(file, []map[string]any{{"email": "a@b", "provider": "gmail"}, {"email": "c@d"}})
		list := readAccounts(file)
		for i, email := range []string{"a@b", "c@d"} {
			if a := list[i]; a["email"] != email || a["provider"] != ProviderName {
				t.Errorf("account %d = %v", i, a)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
	if err := Try(func() { ReadAccounts(file + ".gone") }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestMerge(t *testing.T) {
	settings := map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": 3}
	merge(settings, map[string]any{"a": map[string]any{"y": 4, "z": 5}, "c": map[string]any{"w": 6}})
	want := map[string]any{"a": map[string]any{"x": 1, "y": 4, "z": 5}, "b": 3, "c": map[string]any{"w": 6}}
	if !reflect.DeepEqual(settings, want) {
		t.Errorf("merged to %v, want %v", settings, want)
	}
}

// TestTry: a failure ends f, in whichever goroutine of Go's; another panic goes on.
func TestTry(t *testing.T) {
	wrong := errors.New("wrong")
	if err := Try(func() { Check(nil); Must(1, wrong); t.Error("went on") }); err != wrong {
		t.Errorf("error %v", err)
	}
	if err := Try(func() { Go(func() { Failf("in it: %w", wrong) })() }); !errors.Is(err, wrong) {
		t.Errorf("error %v of a goroutine", err)
	}
	if err := Try(func() { Go(func() {})() }); err != nil {
		t.Error(err)
	}
	defer func() {
		if r := recover(); r != "other" {
			t.Errorf("panic %v", r)
		}
	}()
	_ = Try(func() { panic("other") })
}

// TestBench: what a program says at its end is the error, and the bench ends all.
func TestBench(t *testing.T) {
	b := &Bench{dir: t.TempDir()}
	p := b.Start([]string{"WHAT=one"}, "/bin/sh", "-c", "echo $WHAT; exec sleep 60")
	if err := Try(func() {
		if line := p.Line(); line != "one" {
			t.Errorf("%q", line)
		}
	}); err != nil {
		t.Error(err)
	}
	if n := p.Resident(); n < 1000 {
		t.Errorf("resident %v", n)
	}
	bad := b.Start(nil, "/bin/sh", "-c", "echo reason >&2; exit 3")
	for name, use := range map[string]func(){
		"a line": func() { bad.Line() }, "its port": func() { bad.WaitReady("127.0.0.1:1") },
		"a signal": func() { <-bad.ended; bad.Signal(0) }, // until it is waited for, a program that has ended takes signals
	} {
		if err := Try(use); err == nil || !strings.Contains(err.Error(), "reason") {
			t.Errorf("%s: error %v, want the program's own words", name, err)
		}
	}
	if p.Ended() {
		t.Error("ended too early")
	}
	b.Close()
	if !p.Ended() {
		t.Error("not ended")
	}
}
