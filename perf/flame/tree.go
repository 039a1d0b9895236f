// Package flame makes flame graphs of Go profiles, as SVG files that need
// nothing but a browser, and compares two profiles.
package flame

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// A Node is a function with a stack of callers above it.
type Node struct {
	Name     string
	Value    int64 // of the samples in it and in what it calls
	Old      int64 // the same of an older profile, scaled to the new one's total
	Children []*Node
}

// Fold merges the samples' stacks into a tree. The value is the one of the
// named sample type, or of the last if there is none of that name.
func Fold(p *profile.Profile, sampleType string) *Node {
	index := len(p.SampleType) - 1
	for i, t := range p.SampleType {
		if t.Type == sampleType {
			index = i
		}
	}
	root := &Node{Name: "all"}
	for _, s := range p.Sample {
		root.add(frames(s), s.Value[index])
	}
	root.sort()
	return root
}

// frames returns a sample's functions, the outermost first.
func frames(s *profile.Sample) []string {
	var names []string
	for _, location := range s.Location {
		if len(location.Line) == 0 {
			names = append(names, "?")
		}
		for _, line := range location.Line { // inlined functions come first
			names = append(names, line.Function.Name)
		}
	}
	slices.Reverse(names)
	return names
}

// add adds a stack below n.
func (n *Node) add(stack []string, value int64) {
	n.Value += value
	if len(stack) > 0 {
		n.child(stack[0]).add(stack[1:], value)
	}
}

// child returns the child of that name, a new one if need be.
func (n *Node) child(name string) *Node {
	for _, c := range n.Children {
		if c.Name == name {
			return c
		}
	}
	c := &Node{Name: name}
	n.Children = append(n.Children, c)
	return c
}

// sort orders all children by name, so that two graphs can be compared by eye.
func (n *Node) sort() {
	slices.SortFunc(n.Children, func(a, b *Node) int { return cmp.Compare(a.Name, b.Name) })
	for _, c := range n.Children {
		c.sort()
	}
}

// Compare notes the values of an older tree in n, scaled so that both totals
// are equal: shares are compared. Functions that are gone stay out.
func (n *Node) Compare(old *Node) {
	if old.Value == 0 {
		return
	}
	n.compare(old, float64(n.Value)/float64(old.Value))
}

func (n *Node) compare(old *Node, scale float64) {
	n.Old += int64(float64(old.Value) * scale)
	for _, o := range old.Children {
		for _, c := range n.Children {
			if c.Name == o.Name {
				c.compare(o, scale)
			}
		}
	}
}

// A Share is what part of a profile is in a function itself, without what it
// calls, in percent.
type Share struct {
	Name     string
	New, Old float64
}

// Shares returns the own shares of all functions in two trees, sorted by how much they
// changed, most first.
func Shares(tree, old *Node) []Share {
	byName := make(map[string]*Share)
	collect := func(root *Node, field func(*Share) *float64) {
		if root.Value == 0 {
			return
		}
		root.walk(func(n *Node, own int64) {
			if byName[n.Name] == nil {
				byName[n.Name] = &Share{Name: n.Name}
			}
			*field(byName[n.Name]) += 100 * float64(own) / float64(root.Value)
		})
	}
	collect(tree, func(s *Share) *float64 { return &s.New })
	collect(old, func(s *Share) *float64 { return &s.Old })
	shares := make([]Share, 0, len(byName))
	for _, s := range byName {
		shares = append(shares, *s)
	}
	slices.SortFunc(shares, func(a, b Share) int {
		return cmp.Or(cmp.Compare(change(b), change(a)), strings.Compare(a.Name, b.Name))
	})
	return shares
}

// change is how much a share changed, up or down.
func change(s Share) float64 { return max(s.New-s.Old, s.Old-s.New) }

// walk calls f with every node and what it has apart from its children.
func (n *Node) walk(f func(n *Node, own int64)) {
	own := n.Value
	for _, c := range n.Children {
		own -= c.Value
		c.walk(f)
	}
	f(n, own)
}
