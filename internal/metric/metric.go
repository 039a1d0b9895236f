// Package metric declares metrics: each family once, with a name, a help text, its
// labels and what an operator does about it. It writes the page that Prometheus reads.
//
// Names and labels are interfaces: dashboards and alerts rely on them. Labels have few
// values: never an account or an address.
package metric

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/VictoriaMetrics/metrics"
)

func init() {
	metrics.ExposeMetadata(true) // HELP, which Write fills in, and TYPE
}

// Description is what a family means.
type Description struct {
	Name   string
	Help   string // a sentence that begins with the unit or with what is counted
	Labels []string
	Values []string // what the values of each label mean
	Do     string   // what an operator does about it
}

// common are labels that mean the same in each family.
var common = map[string]string{
	"provider": "a key of a provider in the configuration",
}

var described = struct {
	sync.Mutex
	families map[string]Description
}{families: libraryFamilies()}

// Family is a declared family in one set.
type Family struct {
	set *metrics.Set
	Description
}

// New declares a family in set. A label is its name, or "name: what its values mean".
// Another help text or other labels than an earlier declaration of the name has are a
// mistake of the program: New panics.
func New(set *metrics.Set, name, help string, labels ...string) Family {
	f := Family{set, Description{Name: name, Help: help}}
	for _, l := range labels {
		label, values, _ := strings.Cut(l, ": ")
		f.Labels, f.Values = append(f.Labels, label), append(f.Values, cmp.Or(values, common[label]))
	}
	described.Lock()
	defer described.Unlock()
	if d, ok := described.families[name]; !ok {
		described.families[name] = f.Description
	} else if d.Help != help || !slices.Equal(d.Labels, f.Labels) || !slices.Equal(d.Values, f.Values) {
		panic("metric: two declarations of " + name)
	}
	return f
}

// Do declares what an operator does when the metric moves.
func (f Family) Do(what string) Family {
	f.Description.Do = what
	described.Lock()
	defer described.Unlock()
	described.families[f.Name] = f.Description
	return f
}

// Counter makes the counter with these values of the labels.
func (f Family) Counter(values ...string) *metrics.Counter {
	return f.set.NewCounter(f.series(values))
}

// Shared returns the counter with these values of the labels. The first call makes it.
func (f Family) Shared(values ...string) *metrics.Counter {
	return f.set.GetOrCreateCounter(f.series(values))
}

// Gauge makes the gauge with these values of the labels. It has what read returns; if
// read is nil, what it is set to.
func (f Family) Gauge(read func() float64, values ...string) *metrics.Gauge {
	return f.set.NewGauge(f.series(values), read)
}

// Histogram makes the histogram with these bounds and these values of the labels.
func (f Family) Histogram(bounds []float64, values ...string) *metrics.PrometheusHistogram {
	return f.set.NewPrometheusHistogramExt(f.series(values), bounds)
}

// GaugesOf has all gauges read at once: whenever the metrics are written, read tells set
// the values that there are then, each with the values of the labels.
func (f Family) GaugesOf(read func(set func(value float64, values ...string))) {
	f.set.RegisterMetricsWriter(func(w io.Writer) {
		var lines []string
		read(func(value float64, values ...string) {
			lines = append(lines, f.series(values)+" "+strconv.FormatFloat(value, 'f', -1, 64)+"\n")
		})
		if len(lines) == 0 {
			return
		}
		slices.Sort(lines)
		metrics.WriteMetadataIfNeeded(w, f.Name, "gauge")
		_, _ = io.WriteString(w, strings.Join(lines, ""))
	})
}

// Write writes HELP, TYPE and the series that read tells set, in its order. kind is the
// type in Prometheus' words. It is for pages that stand apart from the one of package-level
// Write; the set that the family was declared in is not asked.
func (f Family) Write(w io.Writer, kind string, read func(set func(value float64, values ...string))) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", f.Name, f.Help, f.Name, kind)
	read(func(value float64, values ...string) {
		_, _ = io.WriteString(w, f.series(values)+" "+strconv.FormatFloat(value, 'f', -1, 64)+"\n")
	})
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// series is the name with the labels.
func (f Family) series(values []string) string {
	if len(values) != len(f.Labels) {
		panic(fmt.Sprintf("metric: %s has the labels %q, not %d", f.Name, f.Labels, len(values)))
	}
	if len(values) == 0 {
		return f.Name
	}
	pairs := make([]string, len(values))
	for i, v := range values {
		pairs[i] = f.Labels[i] + `="` + labelEscaper.Replace(v) + `"`
	}
	return f.Name + "{" + strings.Join(pairs, ",") + "}"
}

// Described returns all families that have been declared, by name, with those of the Go
// runtime and of the process.
func Described() []Description {
	described.Lock()
	defer described.Unlock()
	return slices.SortedFunc(maps.Values(described.families), func(a, b Description) int {
		return strings.Compare(a.Name, b.Name)
	})
}

// Write writes the metrics of the package-global set, of sets and of the process in
// the Prometheus text format.
func Write(w io.Writer, sets ...*metrics.Set) {
	var page bytes.Buffer
	metrics.GetDefaultSet().WritePrometheus(&page)
	for _, set := range sets {
		set.WritePrometheus(&page)
	}
	metrics.WriteProcessMetrics(&page)
	metrics.WriteFDMetrics(&page)
	described.Lock()
	defer described.Unlock()
	for line := range bytes.Lines(page.Bytes()) {
		if name, ok := bytes.CutPrefix(line, []byte("# HELP ")); ok {
			name = bytes.TrimSpace(name)
			fmt.Fprintf(w, "# HELP %s %s\n", name, described.families[string(name)].Help)
			continue
		}
		_, _ = w.Write(line)
	}
}
