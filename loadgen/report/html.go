package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"

	"xoauth2-proxy/loadgen/chart"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// WriteHTML writes the report as one page that needs nothing from anywhere
// else: style and charts are in it.
func (r *Report) WriteHTML(w io.Writer) error {
	return page.Execute(w, map[string]any{
		"Report": r,
		"Rows":   r.rows(),
		"Charts": r.charts(),
	})
}

// Failing says whether the headline is bad news.
func (r *Report) Failing() bool {
	return r.Total.Failed() > 0 || r.Proof != nil && !r.Proof.Holds || r.DryRun != nil && !r.DryRun.Holds
}

// Text renders the proof for the page.
func (p *Proof) Text() string { return p.text() }

// Text renders the counts of a dry run for the page.
func (d *DryRun) Text() string { return d.text() }

// CodeText names the reply for the page.
func (r Reply) CodeText() string { return r.codeText() }

// RateText renders a phase's rate for the page.
func (p Phase) RateText() string { return fmt.Sprintf("%.0f", p.Rate) }

// ResidentText renders a process's memory for the page.
func (p *Process) ResidentText() string { return fmt.Sprintf("%.1f MB", float64(p.Resident)/1e6) }

// PeakText is the same for the most that was seen.
func (p *Process) PeakText() string { return fmt.Sprintf("%.1f MB", float64(p.PeakResident)/1e6) }

// charts draws what there is data for.
func (r *Report) charts() []template.HTML {
	var charts []template.HTML
	draw := func(c chart.Chart) { charts = append(charts, template.HTML(c.SVG())) } // all text in it is escaped
	if len(r.Series) > 0 {
		draw(r.overTime("Throughput, messages a second", false,
			plotted{"failed", "#c2362b", func(p Point) float64 { return p.FailRate }},
			plotted{"accepted", "#1f6fb4", func(p Point) float64 { return p.Rate }}))
		draw(r.overTime("Latency, ms", true,
			plotted{"max", "#b9b9b9", func(p Point) float64 { return float64(p.Max) }},
			plotted{"P99", "#c2362b", func(p Point) float64 { return float64(p.P99) }},
			plotted{"P95", "#d98a1f", func(p Point) float64 { return float64(p.P95) }},
			plotted{"P50", "#1f6fb4", func(p Point) float64 { return float64(p.P50) }}))
	}
	if c, ok := r.distribution(); ok {
		draw(c)
	}
	if r.Server != nil && len(r.Series) > 0 {
		draw(r.overTime("Server: processors in use", false,
			plotted{"CPU", "#1f6fb4", func(p Point) float64 { return p.CPU }}))
		draw(r.overTime("Server: resident memory, MB", false,
			plotted{"RSS", "#1f6fb4", func(p Point) float64 { return float64(p.Resident) / 1e6 }}))
	}
	return charts
}

// plotted is one quantity of a chart over time.
type plotted struct {
	name, colour string
	of           func(Point) float64
}

// overTime draws quantities over the time of the run.
func (r *Report) overTime(title string, logY bool, quantities ...plotted) chart.Chart {
	c := chart.Chart{Title: title, UnitX: "seconds", LogY: logY}
	for _, q := range quantities {
		l := chart.Line{Name: q.name, Colour: q.colour}
		for _, p := range r.Series {
			l.X, l.Y = append(l.X, p.At), append(l.Y, q.of(p))
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}

// colours tell the phases of the distribution apart.
var colours = []string{"#1f6fb4", "#d98a1f", "#3a8f4a", "#8b5fb0", "#c2362b"}

// distribution draws the latency over the percentile, the tail stretched: each
// step to the right is ten times fewer messages.
func (r *Report) distribution() (chart.Chart, bool) {
	nines := func(percentile float64) float64 { return -math.Log10(max(1-percentile/100, 1e-6)) }
	c := chart.Chart{
		Title: "Latency by percentile, ms", UnitX: "percentile", LogY: true,
		TickX: func(x float64) string { return chart.Number(100 * (1 - math.Pow(10, -x))) },
	}
	end := 0.0
	rows := r.rows()
	for i, p := range rows[max(0, len(rows)-len(colours)):] {
		if len(p.Curve) == 0 {
			continue
		}
		l := chart.Line{Name: p.Name, Colour: colours[i]}
		for _, point := range p.Curve {
			// 100 has no place on this axis; the point before it has the
			// same value or nearly so.
			if point.Percentile < 100 {
				l.X, l.Y = append(l.X, nines(point.Percentile)), append(l.Y, float64(point.Latency))
				end = max(end, nines(point.Percentile))
			}
		}
		c.Lines = append(c.Lines, l)
	}
	c.TicksX = []float64{0}
	for x := 1.0; x <= end; x++ {
		c.TicksX = append(c.TicksX, x)
	}
	return c, len(c.Lines) > 0
}
