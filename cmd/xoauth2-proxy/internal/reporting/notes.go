package reporting

import (
	"fmt"
	"io"
	"strings"

	"xoauth2-proxy/internal/accounting/report"
	"xoauth2-proxy/internal/oneline"
)

// notes says what the sums stand on: what is missing, and what was there twice.
func (r *run) notes(w io.Writer) {
	t := r.tally
	processes := t.Processes()
	records, whole := t.Unnumbered, true
	for i := range processes {
		records += processes[i].Records
	}
	fmt.Fprintf(w, "%d records of %d processes in %d files\n", records, len(processes), r.files)
	for i := range processes {
		if p := &processes[i]; !p.Whole() {
			whole = false
			fmt.Fprintf(w, "process %s: %s\n", oneline.Text(p.Process, ' '), missing(p))
		}
	}
	if n := len(processes); n > 0 && processes[n-1].State == "open" {
		fmt.Fprintf(w, "process %s: no end yet: it runs, or what it lost is known when the next one starts\n", oneline.Text(processes[n-1].Process, ' '))
	}
	for _, note := range []struct {
		count uint64
		text  string
	}{
		{t.Again, "records are there more than once: each counts once"},
		{t.Unnumbered, "records have no process and sequence: it is not known what is missing among them, or there twice"},
		{t.Untold, "records were not compared with the others: their numbers are too scattered, or the processes too many"},
		{uint64(r.damaged), "lines are no record"},
	} {
		if note.count > 0 {
			whole = false
			fmt.Fprintf(w, "%d %s\n", note.count, note.text)
		}
	}
	if t.Others {
		fmt.Fprintf(w, "there are too many groups: the rest is in %s\n", report.OthersName)
	}
	if whole && records > 0 {
		fmt.Fprintln(w, "nothing is missing")
	}
}

// missing says what is missing of a process.
func missing(p *report.Process) string {
	var parts []string
	if p.Dropped > 0 {
		parts = append(parts, fmt.Sprintf("%d records were dropped, as it says", p.Dropped))
	}
	switch {
	case p.LostUnknown:
		parts = append(parts, "it was cut off, and the next one does not know how many records it lost")
	case p.Lost > 0:
		parts = append(parts, fmt.Sprintf("%d records were lost when it was killed, as the next one says", p.Lost))
	}
	if p.Gaps > 0 {
		parts = append(parts, fmt.Sprintf("%d numbers are missing: their records are of a type that the files leave out, in other files, or in none", p.Gaps))
	}
	return strings.Join(parts, "; ")
}
