package lab

import (
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
	slow, fast := &Contender{Name: "slow"}, &Contender{Name: "fast"}
	for _, speed := range []float64{1, 3, 2} { // of the machine, round by round
		slow.Note("load", &report.Report{Total: report.Phase{Rate: 100 * speed}})
		fast.Note("load", &report.Report{Total: report.Phase{Rate: 150 * speed}, Server: &report.Process{CPUPerMessage: 1}})
	}
	if got := fast.Over(slow, "load", Throughput); got != 1.5 {
		t.Errorf("ratio %v, want 1.5", got)
	}
	if got := fast.Over(slow, "load", CPU); got != 0 {
		t.Errorf("ratio %v to what is not known", got)
	}
	if got := fast.Over(nil, "load", Throughput); got != 0 {
		t.Errorf("ratio %v to nobody", got)
	}
}

func TestTable(t *testing.T) {
	table := &Table{Title: "Title", Header: []string{"name", "value"}}
	table.Add("a", Number(1234.5))
	table.Add("b", Ratio(1, 0))
	var b strings.Builder
	n, err := table.WriteTo(&b)
	want := "### Title\n\n| name | value |\n| --- | ---: |\n| a | 1234 |\n| b | - |\n\n"
	if err != nil || b.String() != want || n != int64(len(want)) {
		t.Errorf("%d, %v, %q", n, err, b.String())
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
	if err := os.WriteFile(file, []byte(`{"accounts":[{"email":"a@b","provider":"gmail"},{"email":"c@d","provider":"outlook"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := ReadAccounts(file, "other")
	if err != nil {
		t.Fatal(err)
	}
	for i, email := range []string{"a@b", "c@d"} {
		if a := list[i]; a["email"] != email || a["provider"] != "other" {
			t.Errorf("account %d = %v", i, a)
		}
	}
}

func TestMerge(t *testing.T) {
	settings := map[string]any{"a": map[string]any{"x": 1, "y": 2}, "b": 3}
	Merge(settings, map[string]any{"a": map[string]any{"y": 4, "z": 5}, "c": map[string]any{"w": 6}})
	want := map[string]any{"a": map[string]any{"x": 1, "y": 4, "z": 5}, "b": 3, "c": map[string]any{"w": 6}}
	if !reflect.DeepEqual(settings, want) {
		t.Errorf("merged to %v, want %v", settings, want)
	}
}

func TestProcess(t *testing.T) {
	p, err := Start("/bin/sh", "-c", "echo one; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := p.Line(); err != nil || line != "one" {
		t.Errorf("%q, %v", line, err)
	}
	p.Stop()
	p, err = Start("/bin/sh", "-c", "echo reason >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Line(); err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("error %v, want the program's own words", err)
	}
	if err := p.WaitReady("127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "reason") {
		t.Errorf("error %v, want the program's own words", err)
	}
	p.Stop()
}
