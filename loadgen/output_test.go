package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/loadgen/report"
)

// TestRunReports: one run leaves all forms of its report.
func TestRunReports(t *testing.T) {
	s := startServer(t, &testServer{})
	dir := t.TempDir()
	page, data := filepath.Join(dir, "load.html"), filepath.Join(dir, "load.json")
	var stdout, stderr bytes.Buffer
	code := run(context.Background(), []string{"--target", s.addr, "--messages", "20", "-c", "2", "--json", data, "--html", page}, &stdout, &stderr)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	html, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(html), "20 of 20 messages accepted") || !strings.Contains(stdout.String(), "P99.9") {
		t.Errorf("%v, %d octets of page, text %q", err, len(html), stdout.String())
	}
	f, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if rep, err := report.Read(f); err != nil || rep.Total.Accepted != 20 || !strings.HasPrefix(rep.Command, "loadgen --target") {
		t.Errorf("%+v, %v", rep, err)
	}
	code = run(context.Background(), []string{"--target", s.addr, "--messages", "5", "--html", filepath.Join(dir, "no", "such")}, &stdout, &stderr)
	if code != exitFailed {
		t.Errorf("exit code %d for a report that could not be written", code)
	}
}

// TestProgress: the line tells rate, latency and failures.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	p := newLine(&out, 100)
	p.show(report.Point{Rate: 833, P50: 1.5, P99: 12.3}, 50, 2)
	p.end()
	for _, want := range []string{"833/s", "P50 1.50", "P99 12.3", "failed 2", "50/100"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
	if q := newProgress(&out, 100, false); q.bar != nil {
		t.Error("a line is drawn on what is no terminal")
	}
}
