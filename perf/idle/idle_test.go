package idle

import (
	"testing"

	"xoauth2-proxy/loadgen/report"
)

func TestSlope(t *testing.T) {
	if got := slope([]point{{100, 1300}, {200, 1500}, {300, 1700}}); got != 2 {
		t.Errorf("slope %v, want 2", got)
	}
}

func TestLater(t *testing.T) {
	var series []report.Point
	for _, resident := range []int64{90, 80, 10, 30, 20} {
		series = append(series, report.Point{Resident: resident})
	}
	if got := later(series); got != 20 {
		t.Errorf("%v, want 20", got)
	}
	if got := later(nil); got != 0 {
		t.Errorf("%v of none", got)
	}
}
