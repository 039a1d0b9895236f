package metric

import (
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

// TestPage has each kind of metric on the page, with its HELP and TYPE.
func TestPage(t *testing.T) {
	set := metrics.NewSet()
	New(set, "test_events_total", "Events, by kind.", "kind", "of").Counter("a\"b\\c\nd", "é").Add(2)
	shared := New(set, "test_shared_total", "Events.", "kind")
	shared.Shared("x").Inc()
	shared.Shared("x").Inc()
	New(set, "test_level", "Things.").Gauge(func() float64 { return 3 })
	New(set, "test_wait_seconds", "Seconds of waiting.", "phase").Histogram([]float64{1, 2}, "queue").Update(1.5)
	New(set, "test_many", "Things, by kind.", "kind").GaugesOf(func(set func(float64, ...string)) {
		set(1790000000, "b")
		set(0.5, "a")
	})
	New(set, "test_none", "Nothing.").GaugesOf(func(func(float64, ...string)) {})
	var page strings.Builder
	Write(&page, set)
	for _, want := range []string{
		"# HELP test_events_total Events, by kind.\n# TYPE test_events_total counter\ntest_events_total{kind=\"a\\\"b\\\\c\\nd\",of=\"é\"} 2\n",
		"# HELP test_shared_total Events.\n# TYPE test_shared_total counter\ntest_shared_total{kind=\"x\"} 2\n",
		"# HELP test_level Things.\n# TYPE test_level gauge\ntest_level 3\n",
		"# HELP test_wait_seconds Seconds of waiting.\n# TYPE test_wait_seconds histogram\ntest_wait_seconds_bucket{phase=\"queue\",le=\"1\"} 0\n",
		"# HELP test_many Things, by kind.\n# TYPE test_many gauge\ntest_many{kind=\"a\"} 0.5\ntest_many{kind=\"b\"} 1790000000\n",
		"# HELP go_goroutines Goroutines that exist.\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks\n%s", want)
		}
	}
	if strings.Contains(page.String(), "test_none") {
		t.Error("a family without series is on the page")
	}
}

// TestMistakes has programs declare what they must not.
func TestMistakes(t *testing.T) {
	set := metrics.NewSet()
	New(set, "test_mistakes", "Things.", "kind")
	for name, mistake := range map[string]func(){
		"another help text": func() { New(set, "test_mistakes", "Others.", "kind") },
		"another label":     func() { New(set, "test_mistakes", "Things.", "sort") },
		"too few values":    func() { New(set, "test_mistakes", "Things.", "kind").Counter() },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			mistake()
		})
	}
	New(metrics.NewSet(), "test_mistakes", "Things.", "kind").Counter("x") // the same, in another set
}

// TestProviders asks for providers from many goroutines: each is made once, and asking
// does not allocate.
func TestProviders(t *testing.T) {
	made := make(map[string]int)
	p := NewProviders(func(provider string) *int {
		made[provider]++
		return new(int)
	})
	gmail := p.Of("gmail")
	done := make(chan bool)
	for range 8 {
		go func() {
			for _, name := range []string{"gmail", "outlook", "own"} {
				p.Of(name)
			}
			done <- p.Of("gmail") == gmail
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("another value for the same provider")
		}
	}
	if len(made) != 3 || made["gmail"] != 1 || made["outlook"] != 1 || made["own"] != 1 || len(p.All()) != 3 {
		t.Errorf("made %v", made)
	}
	if n := testing.AllocsPerRun(100, func() { p.Of("own") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
