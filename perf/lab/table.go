package lab

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A Table is one of Markdown.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
}

// Add adds a row: floating-point numbers as Number renders them, all else as fmt
// does.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = render(cell)
	}
	t.Rows = append(t.Rows, row)
}

// List renders values for one cell.
func List(values ...any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = render(v)
	}
	return strings.Join(texts, ", ")
}

func render(cell any) string {
	if x, ok := cell.(float64); ok {
		return Number(x)
	}
	return fmt.Sprint(cell)
}

// String renders the table.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", t.Title)
	line := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.Header)
	line(append([]string{"---"}, strings.Fields(strings.Repeat("---: ", len(t.Header)-1))...))
	for _, row := range t.Rows {
		line(row)
	}
	return b.String() + "\n"
}

// Number renders a figure with three digits, "-" for one that is not known.
func Number(x float64) string {
	switch {
	case x == 0 || math.IsNaN(x) || math.IsInf(x, 0):
		return "-"
	case math.Abs(x) >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case math.Abs(x) >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// Heading says what was measured on what, for the top of the tables. Rounds is
// 0 where everything was measured once.
func Heading(command string, rounds int) string {
	repeated := ""
	if rounds > 0 {
		repeated = fmt.Sprintf(", medians of %d interleaved rounds", rounds)
	}
	return fmt.Sprintf("`%s`, %s%s\n\n%s, %d CPUs, %s/%s, %s\n\n", command, time.Now().UTC().Format("2006-01-02 15:04 MST"), repeated,
		cpuModel(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// cpuModel names the processor.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo") // without it there is no name
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimLeft(strings.TrimSpace(name), ": \t")
		}
	}
	return "unknown processor"
}
