// Package plot draws the plots of BENCHMARKS.md from the measured figures that are kept
// in the tree.
package plot

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"xoauth2-proxy/loadgen/chart"
)

// Command is the command line.
type Command struct {
	Data string `default:"docs/perf/plots.json" placeholder:"FILE" help:"The figures. The plots are written beside them."`
}

// Run writes the plots.
func (c *Command) Run() error {
	plots, err := draw(c.Data)
	if err != nil {
		return err
	}
	for name, svg := range plots {
		if err := os.WriteFile(filepath.Join(filepath.Dir(c.Data), name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// figures is the file with the figures.
type figures struct {
	Version string // of the proxy, and when it was measured
	Plots   []plot
}

// A plot is one of them: bars over labels, or lines over numbers.
type plot struct {
	File, Title, Unit string
	Log               bool     // the vertical axis is logarithmic
	Labels            []string // of the bars
	Series            []struct {
		Name string
		X    []float64 // of lines
		Y    []float64
	}
}

// colours tell the series apart, the same in all plots.
var colours = []string{"#b9b9b9", "#d98a1f", "#3a8f4a", "#1f6fb4"}

// draw draws the plots, by the names of their files.
func draw(data string) (map[string]string, error) {
	text, err := os.ReadFile(data)
	if err != nil {
		return nil, err
	}
	var all figures
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", data, err)
	}
	files := make(map[string]string)
	for _, p := range all.Plots {
		c := chart.Chart{Title: p.Title, UnitX: p.Unit, Note: all.Version, LogY: p.Log, Marks: true}
		if len(p.Labels) > 0 {
			c.Bars, c.TickX = true, func(x float64) string { return p.Labels[int(x)] }
			for i := range p.Labels {
				c.TicksX = append(c.TicksX, float64(i)+.5)
			}
		}
		for i, s := range p.Series {
			if c.Bars {
				s.X = c.TicksX
			}
			if len(s.X) != len(s.Y) || len(p.Series) > len(colours) {
				return nil, fmt.Errorf("%s: %s: %d series, %d places for %d figures of %s", data, p.File, len(p.Series), len(s.X), len(s.Y), s.Name)
			}
			c.Lines = append(c.Lines, chart.Line{Name: s.Name, Colour: colours[len(colours)-len(p.Series)+i], X: s.X, Y: s.Y})
		}
		files[p.File] = c.File()
	}
	return files, nil
}
