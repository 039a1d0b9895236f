package report

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/accounting/reading"
)

// Bounds of the memory of a Tally.
const (
	maxGroups    = 50_000
	maxProcesses = 10_000
	maxPages     = 16_384 // of numbers.pages, 4 KiB each
	maxDrops     = 100_000
	// maxOpen is how many messages are remembered, to count each once: the records of a message
	// stand close together.
	maxOpen = 1 << 14
)

// keys are what records can be grouped by.
var keys = map[string]func(*reading.Row) string{
	"account":  func(w *reading.Row) string { return first(w.Get(reading.Account), w.Get(reading.Email)) },
	"email":    func(w *reading.Row) string { return w.Get(reading.Email) },
	"tenant":   func(w *reading.Row) string { return w.Get(reading.Tenant) },
	"provider": func(w *reading.Row) string { return w.Get(reading.Provider) },
	"class":    func(w *reading.Row) string { return w.Get(reading.Class) },
	"hint":     func(w *reading.Row) string { return w.Get(reading.Hint) },
	"hour":     func(w *reading.Row) string { return period(w, "2006-01-02T15:00Z") },
	"day":      func(w *reading.Row) string { return period(w, "2006-01-02") },
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// period returns the hour or the day of a record, in UTC.
func period(w *reading.Row, layout string) string {
	at := w.Time(reading.TimeLogged)
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format(layout)
}

// Keys are what records can be grouped by, sorted.
func Keys() []string {
	return []string{"account", "class", "day", "email", "hint", "hour", "provider", "tenant"}
}

// Config is what a Tally counts.
type Config struct {
	By       []string  // keys of the groups, see Keys
	From, To time.Time // records from From, and before To, by timeLogged; zero: no bound
	Phases   bool      // the times of the groups too
}

// Tally sums up records.
type Tally struct {
	// Total is of all records.
	Total Group
	// Again is how many records were there before: in a copy of a file, or in a file beside.
	Again uint64
	// Unnumbered is how many records have no process or number: of them it is not known
	// whether they are there twice, nor what is missing.
	Unnumbered uint64
	// Others is how many groups were one too many: the records of these are in the group
	// OthersName.
	Others bool
	// Untold is how many records were not compared with the others, since the numbers are too
	// scattered or the processes too many.
	Untold uint64

	cfg       Config
	keys      []func(*reading.Row) string
	groups    map[string]*Group
	processes map[string]*process
	pages     int // that may still be made
	drops     int
	name      []byte

	seed maphash.Seed
	open map[uint64]struct{}
	ring []uint64 // of open
	next int      // in ring
}

// OthersName is the value of each key of the group of the records that found no other.
const OthersName = "(others)"

// New returns a tally. An unknown key is an error.
func New(cfg Config) (*Tally, error) {
	t := &Tally{cfg: cfg, groups: map[string]*Group{}, processes: map[string]*process{}, pages: maxPages,
		seed: maphash.MakeSeed(), open: map[uint64]struct{}{}}
	for _, name := range cfg.By {
		key := keys[name]
		if key == nil {
			return nil, fmt.Errorf("%q is none of %s", name, strings.Join(Keys(), ", "))
		}
		t.keys = append(t.keys, key)
	}
	if cfg.Phases {
		t.Total.spreads = new([numTimes]spread)
	}
	return t, nil
}

// Add takes a record. It reports whether the record is new, in the time and about a recipient.
func (t *Tally) Add(w *reading.Row) bool {
	kind := w.Get(reading.Type)
	if kind != "d" && kind != "b" && kind != "t" {
		if !t.aboutLog(w) {
			t.Again++
		}
		return false
	}
	if !t.isNew(w) {
		t.Again++
		return false
	}
	at := w.Time(reading.TimeLogged)
	if !t.cfg.From.IsZero() && at.Before(t.cfg.From) || !t.cfg.To.IsZero() && !at.Before(t.cfg.To) {
		return false
	}
	message := kind == "d" && t.firstOf(w)
	t.Total.add(kind, w, message)
	if len(t.keys) > 0 {
		t.group(w).add(kind, w, message)
	}
	return true
}

// isNew reports whether the number of the record was not seen before.
func (t *Tally) isNew(w *reading.Row) bool {
	name, n := w.Get(reading.Process), w.Number(reading.Sequence)
	if name == "" || n == 0 {
		t.Unnumbered++
		return true
	}
	p := t.of(name)
	if p == nil {
		t.Untold++
		return true
	}
	added, known := p.seen.add(n, &t.pages)
	if !known {
		t.Untold++
		return true
	}
	return added
}

// group returns the group of the record.
func (t *Tally) group(w *reading.Row) *Group {
	t.name = t.name[:0]
	for _, key := range t.keys {
		t.name = append(append(t.name, key(w)...), 0)
	}
	g := t.groups[string(t.name)]
	if g != nil {
		return g
	}
	values := strings.Split(strings.TrimSuffix(string(t.name), "\x00"), "\x00")
	if len(t.groups) >= maxGroups {
		t.Others = true
		values = slices.Repeat([]string{OthersName}, len(t.keys))
		t.name = append(t.name[:0], strings.Join(values, "\x00")+"\x00"...)
		if g := t.groups[string(t.name)]; g != nil {
			return g
		}
	}
	g = &Group{Values: values}
	if t.cfg.Phases {
		g.spreads = new([numTimes]spread)
	}
	t.groups[string(t.name)] = g
	return g
}

// messageFields tell messages apart.
var messageFields = []reading.Field{
	reading.Process, reading.Session, reading.TimeQueued, reading.MessageID, reading.Orig,
}

// firstOf reports whether the record is the first one of its message.
func (t *Tally) firstOf(w *reading.Row) bool {
	var h maphash.Hash
	h.SetSeed(t.seed)
	for _, f := range messageFields {
		h.WriteString(w.Get(f))
		h.WriteByte(0)
	}
	sum := h.Sum64()
	if _, there := t.open[sum]; there {
		return false
	}
	t.open[sum] = struct{}{}
	if len(t.ring) < maxOpen {
		t.ring = append(t.ring, sum)
		return true
	}
	delete(t.open, t.ring[t.next])
	t.ring[t.next] = sum
	t.next = (t.next + 1) % maxOpen
	return true
}

// Groups returns the groups, sorted by their values.
func (t *Tally) Groups() []*Group {
	list := make([]*Group, 0, len(t.groups))
	for _, g := range t.groups {
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b *Group) int { return slices.Compare(a.Values, b.Values) })
	return list
}
