package main

import (
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"xoauth2-proxy/loadgen/report"
)

// A progress is the live line of a run. It is drawn on terminals only.
type progress struct {
	bar *progressbar.ProgressBar // nil: nothing to draw on
}

// newProgress returns the line for a run of so many messages.
func newProgress(w io.Writer, messages int, quiet bool) *progress {
	file, ok := w.(*os.File)
	if quiet || !ok || !term.IsTerminal(int(file.Fd())) {
		return &progress{}
	}
	return newLine(w, messages)
}

// newLine returns a line that is drawn.
func newLine(w io.Writer, messages int) *progress {
	return &progress{progressbar.NewOptions(messages,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetWidth(24),
		progressbar.OptionShowCount(),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionClearOnFinish(),
	)}
}

// show draws the state after an interval.
func (p *progress) show(point report.Point, done int64, failed int64) {
	if p.bar == nil {
		return
	}
	_ = p.bar.Set64(min(done, p.bar.GetMax64())) // a line that cannot be drawn ends no run
	p.bar.Describe(fmt.Sprintf("%6.0f/s  P50 %v  P99 %v ms  failed %d", point.Rate, point.P50, point.P99, failed))
}

// end removes the line.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
