package pages

import (
	"go/ast"
	"slices"
	"strings"
)

// Event is a line of the log.
type Event struct {
	Part   string   // the package that writes it, as a folder
	Text   string   // "..." stands for what is put into it
	Levels []string // in lower case; "varies" where the code decides it
	Fields []string // sorted
}

// writers are the methods that write a line, and which argument is its text. The names of
// loggers end as in loggers.
var writers = map[string]int{"Debug": 0, "Info": 0, "Warn": 0, "Error": 0, "Log": 1, "Check": 1, "Note": 1, "Refused": 1, "Repeated": 1}

var loggers = []string{"log", "journal", "lg", "logger"}

// Events returns the lines of the log that the code below root writes, sorted by part and
// text. Unknown are the places of texts that it could not find, as folder and function.
func Events(root string) (events []Event, unknown []string, err error) {
	packages := map[string]*source{}
	err = Inspect(root, nil, func(folder string, f *ast.File) {
		s := packages[folder]
		if s == nil {
			s = &source{folder: folder, texts: map[string][]string{}, helpers: map[string]int{}, seen: map[string]*Event{}}
			packages[folder] = s
		}
		s.add(f)
	})
	if err != nil {
		return nil, nil, err
	}
	for _, s := range packages {
		s.find()
		for _, e := range s.seen {
			slices.Sort(e.Fields)
			e.Fields = slices.Compact(e.Fields)
			slices.Sort(e.Levels)
			e.Levels = slices.Compact(e.Levels)
			events = append(events, *e)
		}
		unknown = append(unknown, s.unknown...)
	}
	slices.SortFunc(events, func(a, b Event) int {
		if c := strings.Compare(a.Part, b.Part); c != 0 {
			return c
		}
		return strings.Compare(a.Text, b.Text)
	})
	slices.Sort(unknown)
	return events, unknown, nil
}

// source is one package.
type source struct {
	folder  string
	funcs   []*ast.FuncDecl
	texts   map[string][]string // of constants and of tables of the package, by name
	helpers map[string]int      // functions that log a parameter, and which
	seen    map[string]*Event
	unknown []string
}

func (s *source) add(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body != nil {
				s.funcs = append(s.funcs, d)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				v, ok := spec.(*ast.ValueSpec)
				if !ok {
					continue
				}
				for i, name := range v.Names {
					if i < len(v.Values) {
						s.texts[name.Name] = texts(v.Values[i])
					}
				}
			}
		}
	}
}

// texts are the strings that an expression has: its own, or those of a table's elements.
func texts(e ast.Expr) (list []string) {
	switch e := e.(type) {
	case *ast.BasicLit, *ast.BinaryExpr:
		if text := Written(e); strings.Trim(text, ".") != "" {
			list = append(list, text)
		}
	case *ast.CompositeLit:
		for _, x := range e.Elts {
			if kv, ok := x.(*ast.KeyValueExpr); ok {
				list = append(list, texts(kv.Value)...)
			}
		}
	}
	return list
}

// find notes all lines. A function that logs a parameter is a helper: its calls are
// looked at too.
func (s *source) find() {
	for known := -1; known != len(s.helpers); {
		known, s.unknown = len(s.helpers), nil
		for _, f := range s.funcs {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					if text, ok := s.textOf(n); ok {
						s.note(f, text, n)
					}
				case *ast.CompositeLit: // of a line that is written later
					if id, ok := n.Type.(*ast.Ident); ok && id.Name == "line" {
						for _, x := range n.Elts {
							if kv, ok := x.(*ast.KeyValueExpr); ok && Name(kv.Key) == "text" {
								s.note(f, kv.Value, n)
							}
						}
					}
				}
				return true
			})
		}
	}
}

// textOf returns the argument of a call that is the text of a line.
func (s *source) textOf(call *ast.CallExpr) (ast.Expr, bool) {
	name := Name(call.Fun)
	at, ok := s.helpers[name]
	if sel, isSel := call.Fun.(*ast.SelectorExpr); !ok && isSel && slices.Contains(loggers, Name(sel.X)) {
		at, ok = writers[name]
	}
	if !ok || at >= len(call.Args) {
		return nil, false
	}
	return call.Args[at], true
}

// note adds the lines with the texts of e, which are in f.
func (s *source) note(f *ast.FuncDecl, e ast.Expr, in ast.Node) {
	list := s.resolve(f, e)
	if at := parameter(f, e); at >= 0 {
		s.helpers[f.Name.Name] = at
	} else if _, field := e.(*ast.SelectorExpr); len(list) == 0 && !field && !ranged(f, e) {
		s.unknown = append(s.unknown, s.folder+" "+f.Name.Name)
	}
	for _, text := range list {
		ev := s.seen[text]
		if ev == nil {
			ev = &Event{Part: s.folder, Text: text}
			s.seen[text] = ev
		}
		ev.Levels = append(ev.Levels, s.level(in))
		ev.Fields = append(ev.Fields, fields(in)...)
		ev.Fields = append(ev.Fields, s.implied(f, in)...)
	}
}

// resolve returns the texts that e may have in f.
func (s *source) resolve(f *ast.FuncDecl, e ast.Expr) (list []string) {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return s.texts[Name(e.X)]
	case *ast.Ident:
		ast.Inspect(f.Body, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for i, left := range n.Lhs {
					if len(n.Lhs) == len(n.Rhs) && Name(left) == e.Name {
						list = append(list, texts(n.Rhs[i])...)
					}
				}
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i < len(n.Values) && name.Name == e.Name {
						list = append(list, texts(n.Values[i])...)
					}
				}
			}
			return true
		})
		return append(list, s.texts[e.Name]...)
	}
	return texts(e)
}

// ranged reports whether e is the key of a range in f: the lines were noted where they
// became keys.
func ranged(f *ast.FuncDecl, e ast.Expr) (is bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.RangeStmt); ok && r.Key != nil {
			is = is || Name(r.Key) == Name(e)
		}
		return true
	})
	return is
}

// parameter returns which parameter of f e is; -1: none.
func parameter(f *ast.FuncDecl, e ast.Expr) int {
	at := 0
	for _, p := range f.Type.Params.List {
		for _, name := range p.Names {
			if id, ok := e.(*ast.Ident); ok && id.Name == name.Name {
				return at
			}
			at++
		}
	}
	return -1
}

// level returns the level of a line.
func (s *source) level(in ast.Node) string {
	call, ok := in.(*ast.CallExpr)
	if !ok {
		return "info"
	}
	switch name := Name(call.Fun); name {
	case "Debug", "Info", "Warn", "Error":
		return strings.ToLower(name)
	case "Refused":
		return "info"
	case "Repeated":
		return "debug"
	}
	for _, a := range call.Args[:min(1, len(call.Args))] {
		if name := Name(a); strings.HasSuffix(name, "Level") && name != "Level" {
			return strings.ToLower(strings.TrimSuffix(name, "Level"))
		}
	}
	if _, helper := s.helpers[Name(call.Fun)]; helper {
		return s.helperLevel(Name(call.Fun))
	}
	return "varies"
}

// helperLevel is the level at which a helper writes.
func (s *source) helperLevel(name string) (level string) {
	level = "varies"
	for _, f := range s.funcs {
		if f.Name.Name != name {
			continue
		}
		ast.Inspect(f.Body, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if e, ok := s.textOf(call); ok && parameter(f, e) >= 0 && Name(call.Fun) != name {
					level = s.level(call)
				}
			}
			return true
		})
	}
	return level
}

// fields are the names of zap's fields in a node.
func fields(in ast.Node) (names []string) {
	ast.Inspect(in, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || Name(sel.X) != "zap" {
			return true
		}
		if sel.Sel.Name == "Error" {
			names = append(names, "error")
		} else if len(call.Args) > 0 {
			if lit, ok := call.Args[0].(*ast.BasicLit); ok {
				names = append(names, Written(lit))
			}
		}
		return true
	})
	return names
}

// ofClient are the fields of lines about a client (journal.Client).
var ofClient = []string{"sid", "remote", "account", "email", "user"}

// implied are the fields that a line gets in another place: from a variable, after a Check,
// or in a helper.
func (s *source) implied(f *ast.FuncDecl, in ast.Node) (names []string) {
	call, ok := in.(*ast.CallExpr)
	if !ok { // a line of the journal
		return ofClient
	}
	name := Name(call.Fun)
	if call.Ellipsis.IsValid() || name == "Check" {
		names = fields(f.Body)
	}
	if name == "Refused" || name == "Repeated" {
		names = append(names, append([]string{"reason"}, ofClient...)...)
	}
	if _, helper := s.helpers[name]; !helper {
		return names
	}
	for _, h := range s.funcs {
		if h.Name.Name != name {
			continue
		}
		names = append(names, fields(h.Body)...)
		ast.Inspect(h.Body, func(n ast.Node) bool {
			if inner, ok := n.(*ast.CallExpr); ok && Name(inner.Fun) != name {
				if text, ok := s.textOf(inner); ok && parameter(h, text) >= 0 {
					names = append(names, s.implied(h, inner)...)
				}
			}
			return true
		})
	}
	return names
}
