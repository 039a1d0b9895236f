package accounts

import (
	"math"
	"testing"

	"xoauth2-proxy/perf/lab"
)

func TestLags(t *testing.T) {
	now := readLags(lab.Metrics{`other{le="1"}`: 7, `smtp_loop_lag_seconds_bucket{le="0.001"}`: 5,
		`smtp_loop_lag_seconds_bucket{le="0.01"}`: 6, `smtp_loop_lag_seconds_bucket{le="+Inf"}`: 6, "smtp_loop_lag_seconds_count": 6})
	if len(now) != 3 || now[math.Inf(1)] != 6 {
		t.Errorf("%v", now)
	}
	for _, tt := range []struct {
		before lags
		want   float64
	}{
		{lags{}, 10},
		{lags{.001: 4, .01: 5, math.Inf(1): 5}, 1},
		{lags{.001: 5, .01: 5, math.Inf(1): 5}, 10},
		{now, 0},
	} {
		if got := now.most(tt.before); got != tt.want {
			t.Errorf("since %v: %v, want %v", tt.before, got, tt.want)
		}
	}
	if err := lab.Try(func() { readLags(lab.Metrics{"nothing": 1}) }); err == nil {
		t.Error("metrics without the histogram")
	}
}
