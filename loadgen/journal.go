package main

// A journal holds what became of every message of a run. Each entry is written
// by the one goroutine that sends the message and read after all have ended,
// so it needs no lock.
type journal struct {
	entries []entry
}

// An entry is a message's fate and the account it was sent under.
type entry struct {
	account int32
	fate    fate
}

// newJournal returns a journal of n messages, all unsent.
func newJournal(n int) *journal {
	return &journal{entries: make([]entry, n)}
}

// set notes the fate of message seq.
func (j *journal) set(seq, account int, f fate) {
	j.entries[seq] = entry{int32(account), f}
}

// count returns how many messages met each fate.
func (j *journal) count() map[fate]int {
	counts := make(map[fate]int)
	for _, e := range j.entries {
		counts[e.fate]++
	}
	return counts
}
