package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// names are the files of the module, and what its code declares without its tests.
type names struct {
	files   []string        // as "../../dir/file"
	members map[string]bool // "of.name", of a package or a type
	all     map[string]bool
}

func (n *names) add(of string, declared ...*ast.Ident) {
	for _, id := range declared {
		n.members[of+"."+id.Name], n.all[id.Name] = true, true
	}
}

// read adds what a file declares: at the top, and the fields and methods of types.
func (n *names) read(f *ast.File) {
	for _, d := range f.Decls {
		of := f.Name.Name
		if f, ok := d.(*ast.FuncDecl); ok {
			if f.Recv != nil {
				of, _, _ = strings.Cut(strings.TrimPrefix(types.ExprString(f.Recv.List[0].Type), "*"), "[")
			}
			n.add(of, f.Name)
			continue
		}
		ast.Inspect(d, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.ValueSpec:
				n.add(of, node.Names...)
			case *ast.TypeSpec:
				n.add(f.Name.Name, node.Name)
				of = node.Name.Name // the fields and methods that follow are its own
			case *ast.Field:
				n.add(of, node.Names...)
			}
			return true
		})
	}
}

// namesOf reads the module.
func namesOf(t *testing.T) *names {
	t.Helper()
	n := &names{members: map[string]bool{}, all: map[string]bool{}}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (len(name) > 2 && name[0] == '.' || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		n.files = append(n.files, path)
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		n.read(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var (
	fileName  = regexp.MustCompile(`[\w/.-]+\.(?:go|md|json)\b`)
	qualified = regexp.MustCompile(`\b[A-Za-z]\w*(?:\.[A-Za-z]\w*)+`)
	mixedCase = regexp.MustCompile(`\b(?:[a-z]+[A-Z]|[A-Z][a-z]+[A-Z])\w\w+`) // not KiB
)

// TestNames: each file and each name of Go that docs/architecture.md mentions exists, after
// a dot in the package or type before it.
func TestNames(t *testing.T) {
	n, text := namesOf(t), page(t)
	for _, name := range fileName.FindAllString(text, -1) {
		if !slices.ContainsFunc(n.files, func(f string) bool { return strings.HasSuffix(f, "/"+name) }) {
			t.Errorf("there is no file %s", name)
		}
	}
	text = fileName.ReplaceAllString(strings.NewReplacer("(*", "", ")", " ").Replace(text), " ")
	found := 0
	for _, name := range qualified.FindAllString(text, -1) {
		parts := strings.Split(name, ".")
		for i := 1; i < len(parts) && parts[0] != "runtime"; i++ {
			if found++; !n.members[parts[i-1]+"."+parts[i]] {
				t.Errorf("%s: %s has no %s", name, parts[i-1], parts[i])
			}
		}
	}
	for _, name := range mixedCase.FindAllString(qualified.ReplaceAllString(text, " "), -1) {
		if found++; !n.all[name] {
			t.Errorf("nothing has the name %s", name)
		}
	}
	if found < 100 {
		t.Errorf("only %d names were found", found)
	}
}
