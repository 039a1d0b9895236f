package app

import (
	"go/ast"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"xoauth2-proxy/internal/pages"
)

// inspectSource calls visit with each syntax node of the product outside of tests
// and of the directories named in but.
func inspectSource(t *testing.T, but []string, visit func(ast.Node)) {
	t.Helper()
	err := pages.Inspect(filepath.Join("..", ".."), but, func(_ string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			visit(n)
			return true
		})
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
			if pages.Name(n.Type) == "Reply" && len(n.Elts) > 0 {
				replies = append(replies, replyOf(n))
			}
		case *ast.AssignStmt: // a text that a reply gets later
			for i, left := range n.Lhs {
				sel, ok := left.(*ast.SelectorExpr)
				if !ok || len(n.Lhs) != len(n.Rhs) {
					continue
				}
				if text := pages.Written(n.Rhs[i]); sel.Sel.Name == "Text" && strings.Trim(text, ".") != "" {
					replies = append(replies, "text "+n.Tok.String()+" "+text)
				}
			}
		}
	})
	checkGolden(t, "replies", replies)
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
			i, e = slices.Index([]string{"Code", "Enhanced", "Text", "Hint"}, pages.Name(kv.Key)), kv.Value
		}
		fields[i] = pages.Written(e)
	}
	return fields
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
