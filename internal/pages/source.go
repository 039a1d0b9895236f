// Package pages finds in the source what the pages of docs must have: the lines of the log,
// the replies and the metrics. Tests use it.
package pages

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// notOurs are folders whose code is no part of the proxy: the provider's side, tools and
// tests.
var notOurs = []string{"sandbox", "perf", "loadgen", "e2e", "testdata", "bin", "testkit", "apptest", "pages", ".git"}

// Inspect calls visit with each file of the product below root, tests and the folders named
// in but left out.
func Inspect(root string, but []string, visit func(folder string, f *ast.File)) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (slices.Contains(notOurs, d.Name()) || slices.Contains(but, d.Name())):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(path) != ".go", strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		visit(filepath.ToSlash(folder), f)
		return err
	})
}

// Name is the last part of a name; "" for another expression.
func Name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// Written is what an expression gives: its text if it is fixed, else "...".
func Written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return strings.ReplaceAll(s, "\n", `\n`)
		}
		return e.Value
	case *ast.BinaryExpr:
		return strings.ReplaceAll(Written(e.X)+Written(e.Y), "......", "...")
	case *ast.CompositeLit: // an enhanced code
		parts := make([]string, len(e.Elts))
		for i, x := range e.Elts {
			parts[i] = Written(x)
		}
		return strings.Join(parts, ".")
	case *ast.CallExpr: // of fmt.Sprintf: its format
		if len(e.Args) > 0 && Name(e.Fun) == "Sprintf" {
			return Written(e.Args[0])
		}
	}
	return "..."
}

// Metrics returns the families of metrics that the code below root declares by name, each once.
func Metrics(root string) (names []string, err error) {
	err = Inspect(root, nil, func(_ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			at := 0 // of the name, in the arguments of a function that shortens metric.New
			switch fun := call.Fun.(type) {
			case *ast.SelectorExpr:
				if at = 1; Name(fun.X) != "metric" || Name(fun) != "New" {
					return true
				}
			case *ast.Ident:
				if help, ok := call.Args[1].(*ast.BasicLit); !ok || !strings.HasSuffix(Written(help), ".") {
					return true
				}
			default:
				return true
			}
			if name := Written(call.Args[at]); strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == "" {
				names = append(names, name)
			}
			return true
		})
	})
	slices.Sort(names)
	return slices.Compact(names), err
}
