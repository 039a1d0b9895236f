// Package chart draws lines and bars as SVG, the same for the same data.
package chart

import (
	"fmt"
	"html"
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

// A Line is one curve of a chart, or one bar for each point of it.
type Line struct {
	Name   string
	Colour string
	X, Y   []float64
}

// A Chart draws lines over a common pair of axes.
type Chart struct {
	Title, UnitX string
	Note         string // below the axis, on the left
	Lines        []Line
	LogY         bool
	Bars         bool // side by side, around the middles of 0 to 1, 1 to 2 and so on
	Marks        bool // each point of a line is marked
	// TickX renders a tick of the x axis, and TicksX places them; by default
	// they are numbers at round places.
	TickX  func(float64) string
	TicksX []float64
}

// fileStyle is what a page has in its own style sheet.
const fileStyle = `<style>text{font:12px sans-serif;fill:#333}.t{font-weight:bold}.g{stroke:#ddd}polyline{fill:none;stroke-width:2}</style>` +
	`<rect width="100%" height="100%" fill="#fff"/>`

// File renders the chart as a file of its own.
func (c Chart) File() string {
	return c.render(fmt.Sprintf(`xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"`, chartWidth, chartHeight), fileStyle) + "\n"
}

// SVG renders the chart as an element for a page. All text in it is escaped.
func (c Chart) SVG() string { return c.render(`role="img"`, "") }

func (c Chart) render(attributes, style string) string {
	maxX, minY, maxY := c.ranges()
	toX := func(x float64) float64 { return marginLeft + x/maxX*plotWidth }
	toY := func(y float64) float64 {
		share := y / maxY
		if c.LogY {
			share = math.Log(max(y, minY)/minY) / math.Log(maxY/minY)
		}
		return marginTop + (1-share)*plotHeight
	}
	var b strings.Builder
	text := func(anchor string, x, y float64, more, text string) {
		fmt.Fprintf(&b, `<text text-anchor="%s" x="%.1f" y="%.1f"%s>%s</text>`, anchor, x, y, more, html.EscapeString(text))
	}
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" %s><title>%s</title>%s`, chartWidth, chartHeight, attributes, html.EscapeString(c.Title), style)
	text("start", marginLeft, 16, ` class="t"`, c.Title)
	for _, y := range c.yTicks(minY, maxY) {
		fmt.Fprintf(&b, `<line class="g" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, marginLeft, chartWidth-marginRight, toY(y), toY(y))
		text("end", marginLeft-6, toY(y)+4, "", Number(y))
	}
	ticks, label := c.TicksX, c.TickX
	if ticks == nil {
		ticks, label = linearTicks(maxX), Number
	}
	for _, x := range ticks {
		text("middle", toX(x), chartHeight-marginBottom+16, "", label(x))
	}
	text("end", chartWidth-marginRight, chartHeight-4, "", c.UnitX)
	if c.Note != "" {
		text("start", marginLeft, chartHeight-4, "", c.Note)
	}
	for i, l := range c.Lines {
		if c.Bars {
			width := 0.8 * plotWidth / maxX / float64(len(c.Lines))
			for j := range l.X {
				left := toX(l.X[j]) + (float64(i)-float64(len(c.Lines))/2)*width
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`, left, toY(l.Y[j]), width-2, toY(minY)-toY(l.Y[j]), l.Colour)
				text("middle", left+width/2, toY(l.Y[j])-3, "", Number(l.Y[j]))
			}
		} else {
			c.line(&b, l, toX, toY)
		}
		text("end", float64(chartWidth-marginRight-110*(len(c.Lines)-1-i)), 16, fmt.Sprintf(` style="fill:%s"`, l.Colour), l.Name)
	}
	b.WriteString(`</svg>`)
	return b.String()
}

// line draws a curve.
func (c Chart) line(b *strings.Builder, l Line, toX, toY func(float64) float64) {
	var points strings.Builder
	for j := range l.X {
		fmt.Fprintf(&points, "%.1f,%.1f ", toX(l.X[j]), toY(l.Y[j]))
		if c.Marks {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, toX(l.X[j]), toY(l.Y[j]), l.Colour)
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" stroke="%s"/>`, points.String(), l.Colour)
}

// ranges returns the ends of the axes, never equal and never zero.
func (c Chart) ranges() (maxX, minY, maxY float64) {
	minY = math.Inf(1)
	for _, l := range c.Lines {
		for i := range l.X {
			maxX, maxY = max(maxX, l.X[i]), max(maxY, l.Y[i])
			if l.Y[i] > 0 {
				minY = min(minY, l.Y[i])
			}
		}
	}
	if maxX == 0 {
		maxX = 1
	}
	if maxY == 0 {
		maxY = 1
	}
	if c.Bars {
		maxX = math.Ceil(maxX)
	}
	if c.LogY { // to whole decades
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
func (c Chart) yTicks(minY, maxY float64) []float64 {
	if !c.LogY {
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

// Number renders a tick without needless digits.
func Number(x float64) string {
	if x >= 1e4 {
		return fmt.Sprintf("%gk", math.Round(x/100)/10)
	}
	return fmt.Sprintf("%g", math.Round(x*1e6)/1e6)
}
