package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample is a report with something in every field.
func sample() *Report {
	q := Quantiles{Count: 90, Mean: 1.5, P50: 1.234, P90: 2, P95: 3.5, P99: 45.67, P999: 123.4, Max: 2000}
	total := Phase{Name: "all", TargetRate: 100, Due: 100, Accepted: 90, Refused: 4, Broken: 3, Unknown: 2, Unsent: 1, RefusedRcpts: 7,
		Rate: 45, Octets: 900000, Latency: q, Service: q, Curve: []CurvePoint{{0, 0.1}, {50, 1.2}, {99, 45}, {100, 2000}}}
	one, two := total, total
	one.Name, two.Name = "1000/m", "<2000/m>"
	return &Report{
		Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Command: "loadgen --login '<script>alert(1)</script>'",
		Setting: []Field{{"target", "127.0.0.1:2525"}}, Elapsed: 2, Interrupted: true, Total: total, Phases: []Phase{one, two},
		Setup: q, Connections: 12, Idle: 5, IdleAlive: 4,
		Replies:   []Reply{{"end of data", 250, 90, "250 2.0.0 OK"}, {"mail", 0, 3, "EOF <b>"}},
		Series:    []Point{{At: 1, Length: 1, Rate: 40, FailRate: 1, P50: 1, P95: 2, P99: 3, Max: 4, CPU: 0.5, Resident: 2e7}, {At: 2, Length: 1, Rate: 50}},
		Server:    &Process{CPU: 1, CPUPerMessage: 11.1, MessagesPerCPUSecond: 90, Resident: 2e7, PeakResident: 3e7},
		Generator: &Process{CPU: 0.5},
		Proof:     &Proof{Acknowledged: 90, Delivered: 91, Missing: 1, Duplicated: 2, Checked: "all", Examples: []string{"message 5 was lost"}},
		DryRun:    &DryRun{Acknowledged: 90, Counted: 89, Delivered: 1},
	}
}

func TestTextHasAll(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.1:2525", "2.00 s, interrupted", "1000/m", "1.23", "45.7", "123", "2000",
		"4 refused, 3 cut off, 2 without a final reply, 1 not sent in time", "250 to end of data: 250 2.0.0 OK", "none to mail",
		"12 opened", "5, at the end 4", "11.1 us", "proof FAILS", "1 missing", "message 5 was lost", "dry run FAILS: 90 acknowledged, 89 counted"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	back, err := Read(&b)
	if err != nil || !reflect.DeepEqual(back, sample()) {
		t.Errorf("got %+v, %v", back, err)
	}
}

// TestHTMLIsSelfContained: nothing is loaded from anywhere, text is escaped,
// and every chart is well-formed.
func TestHTMLIsSelfContained(t *testing.T) {
	var b strings.Builder
	if err := sample().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, bad := range []string{"<script", "src=", "href=", "url(", "@import", "http://", "https://", "EOF <b>", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(page, bad) {
			t.Errorf("%q is in the page", bad)
		}
	}
	charts := strings.Split(page, "<svg")[1:]
	if len(charts) != 5 {
		t.Errorf("%d charts, want 5", len(charts))
	}
	for _, c := range charts {
		svg := "<svg" + c[:strings.Index(c, "</svg>")+len("</svg>")]
		dec := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%v in %s", err, svg)
				break
			}
		}
	}
}

// TestRenderEmpty: a run of which nothing came back still has a report.
func TestRenderEmpty(t *testing.T) {
	r := &Report{Generator: &Process{}, Series: []Point{{At: 0.1}}}
	var b strings.Builder
	if err := errors.Join(r.WriteText(&b), r.WriteHTML(&b)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
		t.Errorf("not a number in %s", b.String())
	}
}

func TestMillis(t *testing.T) {
	for m, want := range map[Millis]string{0: "0", 0.001: "0.001", 0.1234: "0.123", 1: "1.00", 9.999: "10.00", 12.34: "12.3", 123.4: "123"} {
		if got := m.String(); got != want {
			t.Errorf("%v = %s, want %s", float64(m), got, want)
		}
	}
}
