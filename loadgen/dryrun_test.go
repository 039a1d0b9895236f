package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDryRun: what the proxy counts decides, not what it answers.
func TestDryRun(t *testing.T) {
	for _, tt := range []struct {
		name                string
		perMessage, arrived int // dry runs counted a message; messages delivered
		code                int
	}{
		{"nothing sent", 1, 0, exitOK},
		{"one delivered", 1, 1, exitFailed},
		{"counted twice", 2, 0, exitFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startServer(t, &testServer{})
			metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				s.mu.Lock()
				defer s.mu.Unlock()
				arrived := 5 // from before the run
				if s.messages > 0 {
					arrived += tt.arrived
				}
				fmt.Fprintf(w, "messages_total{result=\"delivered\"} %d\nmessages_total{result=\"dry_run\"} %d\n", arrived, 7+tt.perMessage*s.messages)
				fmt.Fprintf(w, "process_cpu_seconds_total 1\nprocess_resident_memory_bytes 1000\n")
			}))
			defer metrics.Close()
			rep, code, stderr := runLoad(t, s, "--messages", "20", "--dry-run", "--proxy-metrics", metrics.URL+"/metrics")
			if code != tt.code {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if d := rep.DryRun; d.Holds != (tt.code == exitOK) || d.Acknowledged != 20 || d.Counted != int64(20*tt.perMessage) || d.Delivered != int64(tt.arrived) {
				t.Errorf("dry run = %+v", d)
			}
		})
	}
}

// TestDryRunNotCounted: a server that knows no dry runs is not taken for a
// proxy that makes them.
func TestDryRunNotCounted(t *testing.T) {
	s := startServer(t, &testServer{})
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "process_cpu_seconds_total 1\nprocess_resident_memory_bytes 1000")
	}))
	defer metrics.Close()
	rep, code, stderr := runLoad(t, s, "--messages", "5", "--dry-run", "--proxy-metrics", metrics.URL)
	if rep != nil || code != exitFailed || !strings.Contains(stderr, metricDryRun) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
