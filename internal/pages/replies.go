package pages

import (
	"go/ast"
	"slices"
	"strings"
)

// Reply is an SMTP reply of the proxy's own making that refuses.
type Reply struct {
	Code, Enhanced, Text string // as written; "..." stands for what is put in
	Hint                 string // name of its entry in the catalogue; "" if it gets that at run time
}

// Replies returns the refusals that the code below root writes, by code and text, each once.
func Replies(root string) (list []Reply, err error) {
	names := map[string]string{}    // of entries, by the constant
	tables := map[string][]string{} // of constants, by the variable
	err = Inspect(root, nil, func(folder string, f *ast.File) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if e, ok := n.Value.(*ast.CompositeLit); ok && folder == "internal/hint" && e.Type == nil && len(e.Elts) > 1 {
					names[Name(n.Key)] = Written(e.Elts[0])
				}
			case *ast.ValueSpec:
				for i, v := range n.Values {
					if table, ok := v.(*ast.CompositeLit); ok {
						for _, e := range table.Elts {
							if kv, ok := e.(*ast.KeyValueExpr); ok && Name(kv.Value) != "" {
								tables[n.Names[i].Name] = append(tables[n.Names[i].Name], Name(kv.Value))
							}
						}
					}
				}
			case *ast.CompositeLit:
				if Name(n.Type) == "Reply" && len(n.Elts) > 0 {
					list = append(list, replyOf(n))
				}
			}
			return true
		})
	})
	for i := range list { // those of a table are added at the end
		r := list[i]
		list[i].Hint = names[r.Hint]
		for j, constant := range tables[r.Hint] { // r.Hint is the variable
			if r.Hint = names[constant]; j == 0 {
				list[i] = r
			} else {
				list = append(list, r)
			}
		}
	}
	list = slices.DeleteFunc(list, func(r Reply) bool { return r.Code < "400" || strings.Trim(r.Text, ".") == "" || r.Code == "..." })
	slices.SortFunc(list, func(a, b Reply) int {
		return strings.Compare(a.Code+a.Enhanced+a.Text+a.Hint, b.Code+b.Enhanced+b.Text+b.Hint)
	})
	return slices.Compact(list), err
}

// replyOf reads a codec.Reply; Hint is the constant.
func replyOf(lit *ast.CompositeLit) (r Reply) {
	into := []*string{&r.Code, &r.Enhanced, &r.Text, &r.Hint}
	for i, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			i, e = slices.Index([]string{"Code", "Enhanced", "Text", "Hint"}, Name(kv.Key)), kv.Value
		}
		switch i {
		case 3:
			if of, ok := e.(*ast.IndexExpr); ok {
				e = of.X
			}
			r.Hint = Name(e)
		case 0, 1, 2:
			*into[i] = Written(e)
		}
	}
	return r
}
