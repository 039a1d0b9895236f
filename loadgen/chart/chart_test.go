package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestLinearTicks(t *testing.T) {
	for _, end := range []float64{0.003, 1, 7, 10, 99, 12345, 1e6} {
		ticks := linearTicks(end)
		if len(ticks) < 2 || len(ticks) > int(maxTicks)+1 || ticks[0] != 0 || ticks[len(ticks)-1] > end {
			t.Errorf("up to %v: %v", end, ticks)
		}
	}
}

// elements counts the elements of a well-formed file.
func elements(t *testing.T, text string) map[string]int {
	t.Helper()
	count := make(map[string]int)
	for dec := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
}

// TestFile: all data is drawn, and names are escaped.
func TestFile(t *testing.T) {
	c := Chart{Title: "a < b", UnitX: "n", Note: "note", Lines: []Line{
		{Name: "one & two", Colour: "red", X: []float64{.5, 1.5, 2.5}, Y: []float64{1, 20, 3000}},
		{Name: "three", Colour: "blue", X: []float64{.5, 1.5, 2.5}, Y: []float64{4, 5, 6}},
	}}
	if n := elements(t, c.File()); n["polyline"] != 2 || n["circle"] != 0 || n["rect"] != 1 {
		t.Errorf("lines: %v", n)
	}
	c.Marks, c.LogY = true, true
	if n := elements(t, c.File()); n["polyline"] != 2 || n["circle"] != 6 {
		t.Errorf("marked: %v", n)
	}
	c.Bars = true
	if n := elements(t, c.SVG()); n["polyline"] != 0 || n["rect"] != 6 {
		t.Errorf("bars: %v", n)
	}
}
