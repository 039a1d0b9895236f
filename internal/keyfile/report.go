package keyfile

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Status says what became of a key of a file.
type Status uint8

const (
	// InForce: the value is used as it is.
	InForce Status = iota
	// Clamped: a lower (or higher) value is used, because of a limit.
	Clamped
	// Ignored: the key is known and has no effect, or another key wins.
	Ignored
	// Warned: the value, or what it stands for, is used, and something is wrong with it.
	Warned
	// Unknown: the key is not known; perhaps it is misspelled.
	Unknown
)

var statusNames = [...]string{InForce: "in force", Clamped: "clamped", Ignored: "ignored", Warned: "warning", Unknown: "unknown key"}

// String returns the words used in the report.
func (s Status) String() string { return statusNames[s] }

// Entry is what the report says about one key, or, in a file of accounts,
// about one key of all accounts where it says the same.
type Entry struct {
	// File and Line are where the key stands (first).
	File string
	Line int
	// Key is the dotted path. Value is the value as written; empty for secrets
	// and for unknown keys, which may be secrets.
	Key, Value string
	Status     Status
	// Note says why, or what is in force instead.
	Note string
	// Count is how often the same holds; 1 for config.json.
	Count int
}

// String returns the line for the entry.
func (e *Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: %s", e.File, e.Line, e.Key)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %s", e.Value)
	}
	fmt.Fprintf(&b, ": %s", e.Status)
	if e.Note != "" {
		fmt.Fprintf(&b, ": %s", e.Note)
	}
	if e.Count > 1 {
		fmt.Fprintf(&b, " (and %d more)", e.Count-1)
	}
	return b.String()
}

// Report is what there is to say about files that were read: which keys are in
// force, ignored, clamped or unknown, and why.
type Report struct {
	notes   []string
	entries []*Entry
}

// Notef adds a line that is not about one key.
func (r *Report) Notef(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// Add adds entries about keys.
func (r *Report) Add(entries ...*Entry) { r.entries = append(r.entries, entries...) }

// Entries returns what is said about keys, in the order of the files and
// their lines. The slice is the report's own.
func (r *Report) Entries() []*Entry { return r.entries }

// Lines returns the report as lines without line ends: first the general
// notes, then one line for each key.
func (r *Report) Lines() []string {
	lines := slices.Clone(r.notes)
	for _, e := range r.entries {
		lines = append(lines, e.String())
	}
	return lines
}

// WriteTo writes the lines of the report to w. It implements [io.WriterTo].
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	for _, line := range r.Lines() {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Take moves the entries and notes of other to the end of r, ordered by line.
func (r *Report) Take(other *Report) {
	slices.SortStableFunc(other.entries, func(a, b *Entry) int { return cmp.Compare(a.Line, b.Line) })
	r.notes = append(r.notes, other.notes...)
	r.entries = append(r.entries, other.entries...)
}

// Statement is what an entry says, wherever it stands.
type Statement struct {
	Key, Value, Note string
	Status           Status
}

// Statement returns what e says.
func (e *Entry) Statement() Statement { return Statement{e.Key, e.Value, e.Note, e.Status} }

// Group keeps what an operator should know about a file of accounts: entries
// in force go, and entries that say the same become one with their count.
func (r *Report) Group() {
	seen := make(map[Statement]*Entry)
	kept := r.entries[:0]
	for _, e := range r.entries {
		if e.Status == InForce {
			continue
		}
		k := e.Statement()
		if first, ok := seen[k]; ok {
			first.Count += e.Count
			continue
		}
		seen[k] = e
		kept = append(kept, e)
	}
	r.entries = kept
}

// Clamp notes that to is in force instead of the value.
func (e *Entry) Clamp(to any, reason string) {
	e.Status, e.Note = Clamped, fmt.Sprintf("%v is in force: %s", to, reason)
}
