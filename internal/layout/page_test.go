package layout

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// page returns the text of docs/architecture.md.
func page(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var columns = regexp.MustCompile(`  +`)

// importTable reads the last section of the page: for each package what it may import of
// ours, "any" for all. A row is a package, what it is, and its imports after two spaces; a
// line that is indented further goes on with the imports.
func importTable(t *testing.T) map[string][]string {
	t.Helper()
	_, section, ok := strings.Cut(page(t), "\n## Which package may import which\n")
	if !ok {
		t.Fatal("the page has no section with the table")
	}
	cells := map[string]string{}
	pkg := ""
	for line := range strings.Lines(section) {
		row, indented := strings.CutPrefix(line, "    ")
		if !indented {
			continue
		}
		fields := columns.Split(strings.TrimSpace(row), -1)
		if !strings.HasPrefix(row, " ") {
			pkg, _, _ = strings.Cut(row, " ")
			if cells[pkg] != "" {
				t.Errorf("the table has two rows of %s", pkg)
			}
		}
		cells[pkg] += fields[len(fields)-1] + " "
	}
	table := map[string][]string{}
	for pkg, cell := range cells {
		list, _, _ := strings.Cut(cell, ";")
		table[pkg] = nil
		rooms := ""
		for word := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ' ' || r == ',' }) {
			_, top := cells[word]
			switch {
			case word == "-":
			case word == "rooms":
				rooms = roomsOf(pkg)
			case word == "any", rooms == "" && (top || strings.Contains(word, "internal/")):
				table[pkg] = append(table[pkg], word)
			case rooms == "": // in a list that begins with internal/
				table[pkg] = append(table[pkg], "internal/"+word)
			default:
				table[pkg] = append(table[pkg], rooms+word)
			}
		}
	}
	return table
}

// roomsOf is the folder of a package's rooms, or of the rooms beside it if it is one..
func roomsOf(pkg string) string {
	if i := strings.LastIndex(pkg, "/internal/"); i >= 0 {
		return pkg[:i] + "/internal/"
	}
	return pkg + "/internal/"
}
