package accounting

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/accounting.md anew")

// TestPage holds the table of fields in docs/accounting.md against the code; -update writes it.
func TestPage(t *testing.T) {
	const begin, end = "| Field | Meaning |\n| --- | --- |\n", "\n\n"
	page := filepath.Join("..", "..", "docs", "accounting.md")
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		t.Fatal("the page has no table of fields")
	}
	var table strings.Builder
	for _, f := range Fields() {
		fmt.Fprintf(&table, "| `%s` | %s |\n", f.Name, f.Meaning)
	}
	want := before + begin + strings.TrimSuffix(table.String(), "\n") + end + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Error("docs/accounting.md is not what the code has: go test ./internal/accounting -run Page -update")
	}
}
