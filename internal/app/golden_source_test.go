package app

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// notOurs are directories whose replies and fields are no part of the proxy's
// interface: the provider's side, tools and tests.
var notOurs = []string{"sandbox", "smtpd", "perf", "loadgen", "e2e", "testdata", "bin", ".git"}

// inspectSource calls visit with each syntax node of the product outside of tests
// and of the directories named in but.
func inspectSource(t *testing.T, but []string, visit func(ast.Node)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
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
		ast.Inspect(f, func(n ast.Node) bool {
			visit(n)
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestGoldenReplies: these are the SMTP replies of our own making, wherever in
// the source they stand. Values that are put into a text show as "...".
func TestGoldenReplies(t *testing.T) {
	var replies []string
	inspectSource(t, nil, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if name(n.Type) == "Reply" && len(n.Elts) > 0 {
				replies = append(replies, replyOf(n))
			}
		case *ast.AssignStmt: // a text that a reply gets later
			for i, left := range n.Lhs {
				sel, ok := left.(*ast.SelectorExpr)
				if !ok || len(n.Lhs) != len(n.Rhs) {
					continue
				}
				if text := written(n.Rhs[i]); sel.Sel.Name == "Text" && strings.Trim(text, ".") != "" {
					replies = append(replies, "text "+n.Tok.String()+" "+text)
				}
			}
		}
	})
	checkGolden(t, "replies", replies)
}

// name is the last part of a type's name.
func name(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// replyOf is a codec.Reply as it is written to the client.
func replyOf(lit *ast.CompositeLit) string {
	fields := fieldsOf(lit)
	fields = slices.DeleteFunc(fields[:len(fields)-1], func(s string) bool { return s == "" })
	return strings.TrimRight(strings.Join(fields, " "), " ")
}

// fieldsOf has the code, the enhanced code, the text and the hint of a reply.
func fieldsOf(lit *ast.CompositeLit) []string {
	fields := make([]string, 4)
	for i, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			i, e = slices.Index([]string{"Code", "Enhanced", "Text", "Hint"}, name(kv.Key)), kv.Value
		}
		fields[i] = written(e)
	}
	return fields
}

// written is what an expression gives: its text if it is fixed, else "...".
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return strings.ReplaceAll(s, "\n", `\n`)
		}
		return e.Value
	case *ast.BinaryExpr:
		return strings.ReplaceAll(written(e.X)+written(e.Y), "......", "...")
	case *ast.CompositeLit: // an enhanced code
		parts := make([]string, len(e.Elts))
		for i, x := range e.Elts {
			parts[i] = written(x)
		}
		return strings.Join(parts, ".")
	case *ast.CallExpr: // of fmt.Sprintf: its format
		if len(e.Args) > 0 && name(e.Fun) == "Sprintf" {
			return written(e.Args[0])
		}
	}
	return "..."
}

// TestGoldenFields: these are the JSON fields of the admin API, of the output of
// the commands and of the files that the proxy keeps; a line for each object.
// Configuration and what providers send have tests of their own.
func TestGoldenFields(t *testing.T) {
	var objects []string
	inspectSource(t, []string{"config", "accountfile", "oauth", "upstream"}, func(n ast.Node) {
		s, ok := n.(*ast.StructType)
		if !ok {
			return
		}
		var fields []string
		for _, f := range s.Fields.List {
			if f.Tag == nil {
				continue
			}
			tag, err := strconv.Unquote(f.Tag.Value)
			if err != nil {
				t.Fatal(err)
			}
			if key := reflect.StructTag(tag).Get("json"); key != "" && key != "-" {
				fields = append(fields, key)
			}
		}
		if slices.Sort(fields); len(fields) > 0 {
			objects = append(objects, strings.Join(fields, " "))
		}
	})
	checkGolden(t, "fields", objects)
}
