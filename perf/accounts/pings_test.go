package accounts

import (
	"fmt"
	"math"
	"testing"

	"xoauth2-proxy/perf/lab"
)

// TestLag has ticks within 1 ms, within 10 ms, and later than that.
func TestLag(t *testing.T) {
	at := func(within1, within10, all float64) lab.Metrics {
		bucket := func(le string) string { return fmt.Sprintf(`smtp_loop_lag_seconds_bucket{le="%s"}`, le) }
		return lab.Metrics{`other{le="1"}`: 7, bucket("0.001"): within1, bucket("0.01"): within10, bucket("+Inf"): all, "smtp_loop_lag_seconds_count": all}
	}
	for _, tt := range []struct {
		before lab.Metrics
		want   float64
	}{
		{lab.Metrics{}, 10}, {at(4, 5, 5), 1}, {at(5, 5, 5), 10}, {at(5, 6, 5), math.Inf(1)}, {at(5, 6, 6), 0},
	} {
		if got := lag(tt.before, at(5, 6, 6)); got != tt.want {
			t.Errorf("since %v: %v, want %v", tt.before, got, tt.want)
		}
	}
	if err := lab.Try(func() { lag(nil, lab.Metrics{"nothing": 1}) }); err == nil {
		t.Error("metrics without the histogram")
	}
}
