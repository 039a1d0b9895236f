// Package table writes lists: as aligned columns that fit a terminal, as CSV or as JSON.
package table

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"xoauth2-proxy/internal/oneline"
)

// Columns returns the width of the terminal that w is, 0 for anything else.
func Columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

const (
	// columnGap is the space between two columns.
	columnGap = 2
	// leastColumn is the width that a column gets at least.
	leastColumn = 8
)

// Write writes aligned columns. If most is not 0, no line is longer: cells that are
// too long go on in further lines of their column.
func Write(w io.Writer, most int, header []string, rows [][]string) error {
	lines := make([][]string, 0, len(rows)+1)
	widths := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = oneline.Text(cell, ' ')
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
		lines = append(lines, cells)
	}
	if most > 0 {
		fit(widths, most-columnGap*(len(widths)-1))
	}
	for _, cells := range lines {
		if err := writeRow(w, widths, cells); err != nil {
			return err
		}
	}
	return nil
}

// fit makes columns narrower, the widest first, until together they have most columns.
func fit(widths []int, most int) {
	sum := 0
	for _, n := range widths {
		sum += n
	}
	for ; sum > most; sum-- {
		widest := slices.Index(widths, slices.Max(widths))
		if widths[widest] <= leastColumn {
			return
		}
		widths[widest]--
	}
}

// writeRow writes one row, in as many lines as its longest cell needs.
func writeRow(w io.Writer, widths []int, cells []string) error {
	for more := true; more; {
		more = false
		var line strings.Builder
		for i, rest := range cells {
			var part string
			part, cells[i] = cutCell(rest, widths[i])
			more = more || cells[i] != ""
			line.WriteString(part)
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(part)+columnGap))
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(line.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// cutCell cuts the beginning of a cell off that fits into width, between words if there
// are any.
func cutCell(cell string, width int) (part, rest string) {
	runes := []rune(cell)
	if len(runes) <= width {
		return cell, ""
	}
	at := width
	for i := width; i > 0; i-- {
		if runes[i] == ' ' {
			at = i
			break
		}
	}
	return strings.TrimRight(string(runes[:at]), " "), strings.TrimLeft(string(runes[at:]), " ")
}

// Wrap breaks a text between words into lines that every terminal has room for. A longer
// word, such as an address, has a line of its own.
func Wrap(text string) string {
	const most = 79
	var b strings.Builder
	used := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case used == 0:
		case used+1+n > most:
			b.WriteByte('\n')
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += n
	}
	return b.String() + "\n"
}
