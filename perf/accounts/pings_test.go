package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestLags(t *testing.T) {
	text := "other{le=\"1\"} 7\nsmtp_loop_lag_seconds_bucket{le=\"0.001\"} 5\nsmtp_loop_lag_seconds_bucket{le=\"0.01\"} 6\n" +
		"smtp_loop_lag_seconds_bucket{le=\"+Inf\"} 6\nsmtp_loop_lag_seconds_count 6\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }))
	defer s.Close()
	now, err := readLags(s.URL)
	if err != nil {
		t.Fatal(err)
	}
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
	text = "nothing 1\n"
	if _, err := readLags(s.URL); err == nil {
		t.Error("metrics without the histogram")
	}
}
