// Package layout has the tests of the module's structure: which package may import which,
// sizes, and the direction of dependencies.
package layout

import (
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "xoauth2-proxy/"

// onlyHome lists packages of others that exactly one of ours may import.
var onlyHome = map[string][]string{
	"github.com/panjf2000/gnet/v2":                {"internal/loop"},
	"github.com/coreos/go-systemd/v22/activation": {"internal/loop"},
	"github.com/valyala/bytebufferpool":           {"codec"},
	"golang.org/x/oauth2":                         {"oauth/consent", "oauth/internal/flow"},
	"github.com/tailscale/hujson":                 {"internal/keyfile", "internal/accountfile", "internal/config"},
	"github.com/alecthomas/kong":                  {"cmd/xoauth2-proxy", "loadgen", "perf"},
	"github.com/valyala/fasthttp":                 {"oauth/internal/httpc", "internal/admin", "internal/sandbox", "perf"},
	"github.com/VictoriaMetrics/metrics":          {"server", "upstream", "oauth", "internal/accounting", "internal/admin", "internal/watchdog", "internal/app", "internal/logging", "internal/metric", "internal/outlook", "internal/share", "internal/testkit", "perf"},
	"go.etcd.io/bbolt":                            {"internal/boltfile", "internal/quota", "internal/tokenstore"},
	"github.com/DeRuina/timberjack":               {"internal/accounting"},
}

// TestImports: a package imports what the table in docs/architecture.md says, no more and no
// less. Each package may import its own rooms.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 8 {
		t.Fatalf("go list names only %d packages", len(lines))
	}
	table, used := importTable(t), map[string][]string{}
	for _, line := range lines {
		name, imports, _ := strings.Cut(line, " ")
		pkg := strings.TrimPrefix(name, module)
		row, may := rowOf(table, pkg)
		if row == "" {
			t.Errorf("%s is not in the table: which packages may it import?", pkg)
			continue
		}
		for imp := range strings.FieldsSeq(imports) {
			if ours, found := strings.CutPrefix(imp, module); found {
				if !slices.Contains(may, "any") && !slices.Contains(may, ours) && !within(ours, pkg) {
					t.Errorf("%s imports %s, which the table does not allow", pkg, ours)
				}
				used[row] = append(used[row], ours)
			} else if homes, ok := onlyHome[imp]; ok && !slices.ContainsFunc(homes, func(h string) bool { return within(pkg, h) }) {
				t.Errorf("%s imports %s, which belongs in %v only", pkg, imp, homes)
			}
		}
	}
	for row, may := range table {
		for _, ours := range may {
			if ours != "any" && !slices.Contains(used[row], ours) {
				t.Errorf("the table says that %s imports %s, and it does not", row, ours)
			}
		}
	}
}

// rowOf finds the row of pkg, or of the nearest folder above it, and what it may import.
func rowOf(table map[string][]string, pkg string) (row string, may []string) {
	for row = pkg; row != "."; row = path.Dir(row) {
		if may, ok := table[row]; ok {
			return row, may
		}
	}
	return "", nil
}

// within reports whether pkg is folder or below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
