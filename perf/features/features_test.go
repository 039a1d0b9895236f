package features

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// TestSharesOf counts a sample once, by any function of its stack.
func TestSharesOf(t *testing.T) {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}}
	add := func(value int64, files ...string) {
		s := &profile.Sample{Value: []int64{value, value * 1e7}}
		for _, file := range files {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: file, Filename: file}
			l := &profile.Location{ID: f.ID, Line: []profile.Line{{Function: f}}}
			p.Function, p.Location, s.Location = append(p.Function, f), append(p.Location, l), append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	add(60, "runtime/proc.go", "xoauth2-proxy/upstream/worker.go")
	add(10, "internal/runtime/atomic.go", "github.com/VictoriaMetrics/metrics@v1/counter.go", "xoauth2-proxy/upstream/limits.go")
	add(20, "xoauth2-proxy/upstream/internal/limit/window.go", "xoauth2-proxy/upstream/internal/limit/meter.go")
	add(5, "go.uber.org/zap@v1/logger.go")
	add(5, "go.etcd.io/bbolt@v1/db.go", "xoauth2-proxy/internal/quota/store.go")
	var text bytes.Buffer
	if err := p.Write(&text); err != nil {
		t.Fatal(err)
	}
	found, err := sharesOf(text.Bytes())
	if err != nil || found.samples != 100 {
		t.Fatalf("%+v, %v", found, err)
	}
	want := map[string]float64{"logging": 0.05, "metrics": 0.1, "accounting": 0.05, "limits": 0.2}
	for i, g := range groups {
		if got := found.shares[i]; math.Abs(got-want[g.name]) > 1e-9 {
			t.Errorf("%s: %v, want %v", g.name, got, want[g.name])
		}
	}
	if _, err := sharesOf([]byte("no profile")); err == nil {
		t.Error("no error for what is no profile")
	}
}

// TestGroupsExist: a file that is gone or has another name would count for
// nothing.
func TestGroupsExist(t *testing.T) {
	for _, g := range groups {
		for _, file := range g.files {
			if !strings.HasPrefix(file, "/") {
				continue // of another module
			}
			if _, err := os.Stat("../.." + file); err != nil {
				t.Errorf("%s: %v", g.name, err)
			}
		}
	}
}

// TestSettings: each setting that one of them turns on, the other turns off.
func TestSettings(t *testing.T) {
	rate := func(s map[string]any) any {
		return s["providers"].(map[string]any)["bench"].(map[string]any)["rate_limiting"].(map[string]any)["messages_per_day"]
	}
	on, off := settings(true, "dir"), settings(false, "dir")
	if on["state_dir"] != "dir" || off["state_dir"] != nil || rate(on) == 0 || rate(off) != 0 {
		t.Errorf("on %v, off %v", on, off)
	}
}
