package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// Arrows is how the files of a package depend on each other. An arrow leads from
// file A to file B of the same package if A uses a name that B declares: a type,
// function, method, field, variable or constant.
type Arrows struct {
	Files []string // in an order in which most arrows lead backwards, see order
	Uses  [][]bool // Uses[i][j]: Files[i] uses a name of Files[j]
}

// Count returns the number of arrows, and the number of them that lead forward in
// the order of the files, which is against the direction.
func (a Arrows) Count() (all, against int) {
	for i := range a.Uses {
		for j, used := range a.Uses[i] {
			if used {
				all++
				if j > i {
					against++
				}
			}
		}
	}
	return all, against
}

// Against lists the arrows against the direction as "a.go -> b.go".
func (a Arrows) Against() (list []string) {
	for i := range a.Uses {
		for j := i + 1; j < len(a.Files); j++ {
			if a.Uses[i][j] {
				list = append(list, a.Files[i]+" -> "+a.Files[j])
			}
		}
	}
	return list
}

// listed is a package in the output of `go list -json`.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
	Imports                 []string
}

// list runs `go list` with the export data of all dependencies.
func list(pattern string) (pkgs map[string]*listed, err error) {
	cmd := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles,Imports", pattern)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pkgs = map[string]*listed{}
	for dec := json.NewDecoder(out); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(err, cmd.Wait())
		}
		pkgs[p.ImportPath] = p
	}
	return pkgs, cmd.Wait()
}

// ArrowsOf type-checks the package without its tests and finds its arrows.
func ArrowsOf(path string) (Arrows, error) {
	pkgs, err := list(path)
	if err != nil {
		return Arrows{}, err
	}
	p := pkgs[path]
	if p == nil {
		return Arrows{}, fmt.Errorf("go list does not name %s", path)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return Arrows{}, err
		}
		files = append(files, f)
	}
	info := types.Info{Uses: map[*ast.Ident]types.Object{}}
	cfg := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		dep := pkgs[path]
		if dep == nil {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(dep.Export)
	})}
	pkg, err := cfg.Check(path, fset, files, &info)
	if err != nil {
		return Arrows{}, err
	}
	at := make(map[string]int, len(p.GoFiles))
	uses := make([][]bool, len(p.GoFiles))
	for i, name := range p.GoFiles {
		at[name] = i
		uses[i] = make([]bool, len(p.GoFiles))
	}
	fileOf := func(pos token.Pos) int { return at[filepath.Base(fset.Position(pos).Filename)] }
	for ident, obj := range info.Uses {
		if obj.Pkg() != pkg || local(pkg, obj) {
			continue
		}
		if from, to := fileOf(ident.Pos()), fileOf(obj.Pos()); from != to {
			uses[from][to] = true
		}
	}
	return sorted(p.GoFiles, uses), nil
}

// local reports whether obj is declared inside a function.
func local(pkg *types.Package, obj types.Object) bool {
	switch obj := obj.(type) {
	case *types.Var:
		return !obj.IsField() && obj.Parent() != pkg.Scope()
	case *types.Func:
		return false
	}
	return obj.Parent() != pkg.Scope()
}

// sorted puts the files into the order that order finds.
func sorted(files []string, uses [][]bool) Arrows {
	a := Arrows{Files: make([]string, len(files)), Uses: make([][]bool, len(files))}
	perm := order(uses)
	for i, from := range perm {
		a.Files[i] = files[from]
		a.Uses[i] = make([]bool, len(files))
		for j, to := range perm {
			a.Uses[i][j] = uses[from][to]
		}
	}
	return a
}

// order looks for an order of the files with few arrows that lead forward. It
// starts from the greedy order of Eades, Lin and Smyth (files that use nothing
// first, files that nothing uses last, else the file that is used most beyond what
// it uses), and moves single files to their best place until no move helps.
func order(uses [][]bool) []int {
	perm := greedy(uses)
	for better := true; better; {
		better = false
		for i := range perm {
			if j := bestPlace(uses, perm, i); j != i {
				moved := perm[i]
				perm = slices.Insert(slices.Delete(perm, i, i+1), j, moved)
				better = true
			}
		}
	}
	return perm
}

func greedy(uses [][]bool) (perm []int) {
	left := make(map[int]bool, len(uses))
	for i := range uses {
		left[i] = true
	}
	var first, last []int
	for len(left) > 0 {
		best, score := -1, 0
		for i := range uses {
			if !left[i] {
				continue
			}
			out, in := 0, 0
			for j := range left {
				if uses[i][j] {
					out++
				}
				if uses[j][i] {
					in++
				}
			}
			s := in - out
			switch {
			case out == 0:
				s = len(uses) + 1
			case in == 0:
				s = -len(uses) - 1
			}
			if best < 0 || s > score {
				best, score = i, s
			}
		}
		delete(left, best)
		if score == -len(uses)-1 {
			last = append(last, best)
		} else {
			first = append(first, best)
		}
	}
	slices.Reverse(last)
	return append(first, last...)
}

// bestPlace is where in perm the file at i has the fewest arrows forward, i itself
// unless another place is better.
func bestPlace(uses [][]bool, perm []int, i int) int {
	file, best, least, cost := perm[i], i, 0, 0
	// cost is the change against the present place.
	for j := i + 1; j < len(perm); j++ { // moving it to after perm[j]
		cost += btoi(uses[perm[j]][file]) - btoi(uses[file][perm[j]])
		if cost < least {
			best, least = j, cost
		}
	}
	cost = 0
	for j := i - 1; j >= 0; j-- { // moving it to before perm[j]
		cost += btoi(uses[file][perm[j]]) - btoi(uses[perm[j]][file])
		if cost < least {
			best, least = j, cost
		}
	}
	return best
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
