package keyfile

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Problem is one mistake in a file. It never shows the value of a secret.
type Problem struct {
	// File is the path of the file; empty for a command line flag.
	File string
	// Line counts from 1; 0 is the file as a whole.
	Line int
	// Key is the dotted path of the key; empty for the file as a whole.
	Key string
	// Message says what the mistake is, and what would be right.
	Message string
}

// Error returns "file:line: key: message", without the parts that are not
// there.
func (p *Problem) Error() string {
	s := p.Message
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	switch {
	case p.File == "":
		return s
	case p.Line == 0:
		return p.File + ": " + s
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, s)
}

// Problems collects mistakes.
type Problems []*Problem

// Add adds a problem.
func (ps *Problems) Add(p *Problem) { *ps = append(*ps, p) }

// AddJoined adds the problems that err, an error of Err, joins.
func (ps *Problems) AddJoined(err error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return
	}
	for _, e := range joined.Unwrap() {
		if p, ok := errors.AsType[*Problem](e); ok {
			ps.Add(p)
		}
	}
}

// Err joins the problems in the order of their lines; nil when there are none.
// Files keep the order in which they were read.
func (ps Problems) Err() error {
	files := make(map[string]int)
	for _, p := range ps {
		if _, ok := files[p.File]; !ok {
			files[p.File] = len(files)
		}
	}
	slices.SortStableFunc(ps, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(files[a.File], files[b.File]), cmp.Compare(a.Line, b.Line))
	})
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errors.Join(errs...)
}
