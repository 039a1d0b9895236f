package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

func TestMetricsSampler(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       usage
		wrong      bool
	}{
		{name: "as it should be", text: "# HELP x\nother 3\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2e7\n", want: usage{1.5, 2e7}},
		{name: "something missing", text: "process_cpu_seconds_total 1.5\n", wrong: true},
		{name: "not a number", text: "process_cpu_seconds_total x\nprocess_resident_memory_bytes 2e7\n", wrong: true},
		{name: "empty", wrong: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, tt.text) }))
			defer web.Close()
			u, err := checkLoopbackURL(web.URL)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := newMetricsSampler(u).sample(); (err != nil) != tt.wrong || got != tt.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// TestMetricsSamplerStaysHere: a redirect could lead off this machine.
func TestMetricsSamplerStaysHere(t *testing.T) {
	web := httptest.NewServer(http.RedirectHandler("http://192.0.2.1/metrics", http.StatusFound))
	defer web.Close()
	u, err := checkLoopbackURL(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := newMetricsSampler(u).sample(); err == nil {
		t.Errorf("got %+v", got)
	}
}

func TestProcSamplers(t *testing.T) {
	for name, s := range map[string]sampler{"self": selfSampler{}, "pid": pidSampler{os.Getpid()}} {
		m, err := newMeter(s)
		if err != nil {
			t.Fatal(err)
		}
		cpu, resident, err := m.read()
		if err != nil || cpu < 0 || resident < 1<<20 {
			t.Errorf("%s: %v s, %d octets, %v", name, cpu, resident, err)
		}
		if p := m.process(10); p.PeakResident < p.Resident {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if _, err := (pidSampler{1 << 30}).sample(); err == nil {
		t.Error("a process that cannot be there has a usage")
	}
}
