package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Sizes of a chart in CSS pixels.
const (
	chartWidth, chartHeight         = 860, 260
	marginLeft, marginRight         = 64, 16
	marginTop, marginBottom         = 28, 36
	plotWidth                       = chartWidth - marginLeft - marginRight
	plotHeight                      = chartHeight - marginTop - marginBottom
	maxTicks                float64 = 6
)

// A line is one curve of a chart.
type line struct {
	name   string
	colour string
	x, y   []float64
}

// A chart draws lines over a common pair of axes.
type chart struct {
	title, unitX string
	lines        []line
	logY         bool
	// tickX renders a tick of the x axis, and ticksX places them; by default
	// they are numbers at round places.
	tickX  func(float64) string
	ticksX []float64
}

// svg renders the chart as an inline SVG element.
func (c chart) svg() template.HTML {
	maxX, minY, maxY := c.ranges()
	toX := func(x float64) float64 { return marginLeft + x/maxX*plotWidth }
	toY := func(y float64) float64 {
		share := y / maxY
		if c.logY {
			share = math.Log(max(y, minY)/minY) / math.Log(maxY/minY)
		}
		return marginTop + (1-share)*plotHeight
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img"><title>%s</title>`, chartWidth, chartHeight, template.HTMLEscapeString(c.title))
	fmt.Fprintf(&b, `<text class="t" x="%d" y="16">%s</text>`, marginLeft, template.HTMLEscapeString(c.title))
	for _, y := range c.yTicks(minY, maxY) {
		fmt.Fprintf(&b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/><text text-anchor="end" x="%d" y="%.1f">%s</text>`,
			marginLeft, chartWidth-marginRight, toY(y), toY(y), marginLeft-6, toY(y)+4, number(y))
	}
	ticks, label := c.ticksX, c.tickX
	if ticks == nil {
		ticks, label = linearTicks(maxX), number
	}
	for _, x := range ticks {
		fmt.Fprintf(&b, `<text text-anchor="middle" x="%.1f" y="%d">%s</text>`, toX(x), chartHeight-marginBottom+16, label(x))
	}
	fmt.Fprintf(&b, `<text text-anchor="end" x="%d" y="%d">%s</text>`, chartWidth-marginRight, chartHeight-4, template.HTMLEscapeString(c.unitX))
	for i, l := range c.lines {
		var points strings.Builder
		for j := range l.x {
			fmt.Fprintf(&points, "%.1f,%.1f ", toX(l.x[j]), toY(l.y[j]))
		}
		fmt.Fprintf(&b, `<polyline points="%s" stroke="%s"/>`, points.String(), l.colour)
		fmt.Fprintf(&b, `<text text-anchor="end" x="%d" y="16" fill="%s">%s</text>`,
			chartWidth-marginRight-110*(len(c.lines)-1-i), l.colour, template.HTMLEscapeString(l.name))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // all text in it is escaped above
}

// ranges returns the ends of the axes, never equal and never zero.
func (c chart) ranges() (maxX, minY, maxY float64) {
	minY = math.Inf(1)
	for _, l := range c.lines {
		for i := range l.x {
			maxX, maxY = max(maxX, l.x[i]), max(maxY, l.y[i])
			if l.y[i] > 0 {
				minY = min(minY, l.y[i])
			}
		}
	}
	if maxX == 0 {
		maxX = 1
	}
	if maxY == 0 {
		maxY = 1
	}
	if c.logY { // to whole decades
		minY = math.Pow(10, math.Floor(math.Log10(min(minY, maxY))))
		maxY = math.Pow(10, math.Ceil(math.Log10(maxY)))
		if maxY == minY {
			maxY *= 10
		}
		return maxX, minY, maxY
	}
	return maxX, 0, maxY * 1.05
}

// yTicks places the ticks of the y axis.
func (c chart) yTicks(minY, maxY float64) []float64 {
	if !c.logY {
		return linearTicks(maxY)
	}
	var ticks []float64
	for y := minY; y <= maxY*1.001; y *= 10 {
		ticks = append(ticks, y)
	}
	return ticks
}

// linearTicks returns round numbers from 0 to end.
func linearTicks(end float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(end/maxTicks)))
	for _, factor := range []float64{2, 2.5, 2} {
		if end/step <= maxTicks {
			break
		}
		step *= factor
	}
	var ticks []float64
	for i := 0; float64(i)*step <= end; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// number renders a tick without needless digits.
func number(x float64) string {
	if x >= 1e4 {
		return fmt.Sprintf("%gk", math.Round(x/100)/10)
	}
	return fmt.Sprintf("%g", math.Round(x*1e6)/1e6)
}
