package report

import (
	"maps"
	"slices"
	"strings"

	"xoauth2-proxy/internal/accounting/reading"
)

// process is what the files have of one process.
type process struct {
	seen  numbers
	drops map[[2]uint64]uint64 // how many records are missing, by first and last number
	top   uint64               // the highest number that a record of the log names

	started, ended bool
	next           bool   // the next process says what was lost
	lost           uint64 // as it says
	lostUnknown    bool
}

// Process says what is missing of the records of one process.
type Process struct {
	Process string `json:"process"`
	// Records is how many there are.
	Records uint64 `json:"records"`
	// Dropped is how many drop records name.
	Dropped uint64 `json:"dropped"`
	// Lost is how many had a number and came to no disk, as the next process says; LostUnknown:
	// it does not know.
	Lost        uint64 `json:"lost"`
	LostUnknown bool   `json:"lost_unknown,omitempty"`
	// Gaps is how many other numbers are missing: their records are in files that were not
	// read, or in no file.
	Gaps uint64 `json:"gaps"`
	// State is "ended", "killed" (the next process found no end), or "open": it runs, or
	// what it lost is known when the next process starts.
	State string `json:"state"`
}

// Whole reports whether nothing is missing as far as is known.
func (p *Process) Whole() bool {
	return p.Dropped == 0 && p.Lost == 0 && !p.LostUnknown && p.Gaps == 0
}

// of returns the process with that name; nil if there are too many.
func (t *Tally) of(name string) *process {
	p := t.processes[name]
	if p == nil {
		if len(t.processes) >= maxProcesses {
			return nil
		}
		p = &process{}
		t.processes[strings.Clone(name)] = p // a part of a line
	}
	return p
}

// aboutLog takes a record about the log. It reports false for one that was there before.
func (t *Tally) aboutLog(w *reading.Row) bool {
	p := t.of(w.Get(reading.Process))
	if p == nil {
		t.Untold++
		return true
	}
	first, last, count := w.Number(reading.FirstSequence), w.Number(reading.LastSequence), w.Number(reading.Count)
	switch w.Get(reading.Type) {
	case "start":
		again := p.started
		p.started = true
		if before := w.Get(reading.AboutProcess); before != "" && !again {
			if b := t.of(before); b != nil {
				b.next, b.top = true, max(b.top, last)
				b.lost, b.lostUnknown = count, w.Get(reading.Count) == ""
			}
		}
		return !again
	case "end":
		again := p.ended
		p.ended, p.top = true, max(p.top, last)
		return !again
	}
	if p.drops == nil {
		p.drops = map[[2]uint64]uint64{}
	}
	key := [2]uint64{first, last}
	if _, again := p.drops[key]; again {
		return false
	}
	if t.drops++; t.drops > maxDrops {
		t.Untold++
		return true
	}
	p.drops[key], p.top = count, max(p.top, last)
	return true
}

// Processes says what is missing, by the start of the processes.
func (t *Tally) Processes() (list []Process) {
	for _, name := range slices.Sorted(maps.Keys(t.processes)) {
		p := t.processes[name]
		out := Process{Process: name, Records: p.seen.count, Lost: p.lost, LostUnknown: p.lostUnknown, State: "open"}
		switch {
		case p.ended:
			out.State = "ended"
		case p.next:
			out.State = "killed"
		}
		for _, n := range p.drops {
			out.Dropped += n
		}
		absent := max(p.top, p.seen.last, out.Records) - out.Records
		out.Dropped = min(out.Dropped, absent) // what one file lacks, another one may have
		out.Gaps = absent - out.Dropped
		list = append(list, out)
	}
	return list
}
