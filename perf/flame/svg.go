package flame

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"html"
	"io"
	"strings"
)

// Sizes of a graph in CSS pixels.
const (
	width      = 1600.0
	rowHeight  = 17
	headHeight = 30
	// narrowest is the width below which a frame is left out.
	narrowest = 0.4
	// charWidth is the width of a character of the labels, roughly.
	charWidth = 6.6
)

// A Graph is a tree to be drawn.
type Graph struct {
	Title string
	Unit  string // of the values: "nanoseconds", "bytes" or "count"
	Root  *Node
	// Diff colours frames by how their share changed: red ones grew, blue
	// ones shrank.
	Diff bool
}

// WriteSVG draws the graph, callers on top of what they call. Every frame
// tells its name and share to the pointer.
func (g Graph) WriteSVG(w io.Writer) error {
	out := bufio.NewWriter(w)
	height := headHeight + rowHeight*g.depth(g.Root, width) + 4
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %d" width="%g" height="%d">`, width, height, width, height)
	fmt.Fprint(out, `<style>text{font:11px ui-monospace,monospace;pointer-events:none}rect{stroke:#fff;stroke-width:.4}rect:hover{stroke:#000;stroke-width:1}</style>`)
	fmt.Fprintf(out, `<text x="4" y="18" style="font-size:14px">%s: %s</text>`+"\n", html.EscapeString(g.Title), g.value(g.Root.Value))
	g.frame(out, g.Root, 0, headHeight, width)
	fmt.Fprint(out, "</svg>\n")
	return out.Flush()
}

// depth returns how many rows are drawn for n at that width.
func (g Graph) depth(n *Node, w float64) int {
	deepest := 0
	for _, c := range n.Children {
		if cw := share(c, n) * w; cw >= narrowest {
			deepest = max(deepest, g.depth(c, cw))
		}
	}
	return deepest + 1
}

// share returns what part of n is in its child c.
func share(c, n *Node) float64 {
	if n.Value <= 0 {
		return 0
	}
	return float64(c.Value) / float64(n.Value)
}

// frame draws n and what it calls.
func (g Graph) frame(out io.Writer, n *Node, x float64, y int, w float64) {
	tip := fmt.Sprintf("%s: %s, %.2f %%", n.Name, g.value(n.Value), 100*share(n, g.Root))
	if g.Diff {
		tip += fmt.Sprintf(", was %.2f %%", 100*float64(n.Old)/max(float64(g.Root.Value), 1))
	}
	fmt.Fprintf(out, `<g><title>%s</title><rect x="%.2f" y="%d" width="%.2f" height="%d" fill="%s"/>`,
		html.EscapeString(tip), x, y, w, rowHeight, g.colour(n))
	if label := fit(n.Name, w); label != "" {
		fmt.Fprintf(out, `<text x="%.2f" y="%d">%s</text>`, x+2, y+rowHeight-5, html.EscapeString(label))
	}
	fmt.Fprint(out, "</g>\n")
	for _, c := range n.Children {
		cw := share(c, n) * w
		if cw >= narrowest {
			g.frame(out, c, x, y+rowHeight, cw)
		}
		x += cw
	}
}

// fit cuts a name to what a frame has room for: the path of the package first.
func fit(name string, w float64) string {
	room := int((w - 4) / charWidth)
	if len(name) > room {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	switch {
	case len(name) <= room:
		return name
	case room < 4:
		return ""
	}
	return name[:room-2] + ".."
}

// colour returns a frame's colour: by package, or by change.
func (g Graph) colour(n *Node) string {
	if g.Diff {
		grown := float64(n.Value-n.Old) / max(float64(max(n.Value, n.Old)), 1) // -1 to 1
		fade := int(235 - 150*max(grown, -grown))
		if grown >= 0 {
			return fmt.Sprintf("rgb(235,%d,%d)", fade, fade)
		}
		return fmt.Sprintf("rgb(%d,%d,235)", fade, fade)
	}
	h := fnv.New32a()
	pkg := n.Name
	if i := strings.LastIndexByte(pkg, '/'); i >= 0 {
		pkg = pkg[:i]
	}
	pkg, _, _ = strings.Cut(pkg, ".")
	_, _ = io.WriteString(h, pkg) // a hash takes everything
	sum := h.Sum32()
	return fmt.Sprintf("hsl(%d,%d%%,72%%)", sum%70, 55+sum>>8%35)
}

// value renders a value in its unit.
func (g Graph) value(v int64) string {
	switch g.Unit {
	case "nanoseconds":
		return fmt.Sprintf("%.3g s", float64(v)/1e9)
	case "bytes":
		return fmt.Sprintf("%.3g MB", float64(v)/1e6)
	}
	return fmt.Sprint(v)
}
