package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// Header fields of a load message. The sandbox reads them in the first 4 KiB
// of the content, each spelt exactly so, with one space after the colon.
const (
	// HeaderLoadID has RUN/NUMBER: a name without '/' and a decimal number.
	HeaderLoadID = "X-Load-Id: "
	// HeaderLoadAccount has the login that the message must come under.
	HeaderLoadAccount = "X-Load-Account: "
	// HeaderLoadSum has the LoadSum of all that follows the header's empty line.
	HeaderLoadSum = "X-Load-Sum: "
)

// Bounds on the memory of load runs.
const (
	maxLoadRuns   = 64       // the newest ones
	maxLoadPages  = 16 << 10 // 8 KiB each, 65,536 numbers a page
	maxDuplicates = 1000
	loadHeader    = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// LoadSum is the value of HeaderLoadSum for a body: CRC-32C in hex. It is cheap
// and finds accidental damage.
func LoadSum(body []byte) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(body, castagnoli)))
}

// LoadStats are the counts of one load run. A generator compares them with the
// messages that were acknowledged to it.
type LoadStats struct {
	Run             string   `json:"run"`
	Messages        int64    `json:"messages"` // duplicates included
	Bytes           int64    `json:"bytes"`
	Distinct        int64    `json:"distinct"`
	Duplicates      int64    `json:"duplicates"`
	DuplicateOf     []uint64 `json:"duplicate_of,omitempty"` // the first thousand numbers
	WrongSum        int64    `json:"wrong_sum"`
	WrongAccount    int64    `json:"wrong_account"`
	NotRemembered   int64    `json:"not_remembered"` // numbers beyond the memory bound
	DeliveredRanges []Range  `json:"delivered,omitempty"`
}

// Range is the numbers First to Last, both included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

type loadPage [1024]uint64

type loadRun struct {
	LoadStats
	pages map[uint64]*loadPage
}

// countLoad counts a message for its run, if it has one. st.mu is held.
func (st *Store) countLoad(account string, content []byte) {
	head := content[:min(len(content), loadHeader)]
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return
	}
	head = head[:end]
	run, num, ok := bytes.Cut(headerValue(head, HeaderLoadID), []byte{'/'})
	n, err := strconv.ParseUint(string(num), 10, 64)
	if !ok || err != nil || len(num) > 18 {
		return
	}
	l := st.loads[string(run)]
	if l == nil {
		if len(st.runs) >= maxLoadRuns {
			delete(st.loads, st.runs[0])
			st.runs = slices.Delete(st.runs, 0, 1)
		}
		l = &loadRun{LoadStats: LoadStats{Run: string(run)}, pages: map[uint64]*loadPage{}}
		st.loads[l.Run] = l
		st.runs = append(st.runs, l.Run)
	}
	l.Messages++
	l.Bytes += int64(len(content))
	if want := headerValue(head, HeaderLoadAccount); want != nil && !bytes.EqualFold(want, []byte(account)) {
		l.WrongAccount++
	}
	if want := headerValue(head, HeaderLoadSum); want != nil && string(want) != LoadSum(content[end+4:]) {
		l.WrongSum++
	}
	l.mark(n)
}

// mark marks number n as delivered.
func (l *loadRun) mark(n uint64) {
	page := l.pages[n>>16]
	if page == nil {
		if len(l.pages) >= maxLoadPages {
			l.NotRemembered++
			return
		}
		page = new(loadPage)
		l.pages[n>>16] = page
	}
	word, bit := &page[n>>6&1023], uint64(1)<<(n&63)
	if *word&bit == 0 {
		*word |= bit
		l.Distinct++
		return
	}
	l.Duplicates++
	if len(l.DuplicateOf) < maxDuplicates {
		l.DuplicateOf = append(l.DuplicateOf, n)
	}
}

// ranges returns the delivered numbers.
func (l *loadRun) ranges() (out []Range) {
	for _, k := range slices.Sorted(maps.Keys(l.pages)) {
		for i, word := range l.pages[k] {
			for ; word != 0; word &= word - 1 {
				n := k<<16 | uint64(i)<<6 | uint64(bits.TrailingZeros64(word))
				if last := len(out) - 1; last >= 0 && out[last].Last+1 == n {
					out[last].Last = n
				} else {
					out = append(out, Range{n, n})
				}
			}
		}
	}
	return out
}

// snapshot returns the counts without the delivered numbers.
func (l *loadRun) snapshot() LoadStats {
	s := l.LoadStats
	s.DuplicateOf = slices.Clone(s.DuplicateOf)
	return s
}

// Loads returns the counts of all load runs, without the delivered numbers.
func (st *Store) Loads() []LoadStats {
	st.mu.Lock()
	defer st.mu.Unlock()
	out := []LoadStats{}
	for _, l := range st.loads {
		out = append(out, l.snapshot())
	}
	slices.SortFunc(out, func(a, b LoadStats) int { return strings.Compare(a.Run, b.Run) })
	return out
}

// Load returns the counts of one load run with the delivered numbers. ok is false
// if no message of that run came.
func (st *Store) Load(run string) (stats LoadStats, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	l := st.loads[run]
	if l == nil {
		return LoadStats{}, false
	}
	stats = l.snapshot()
	stats.DeliveredRanges = l.ranges()
	return stats, true
}

// headerValue returns the value of a field that begins a line, or nil.
func headerValue(head []byte, field string) []byte {
	for line := range bytes.SplitSeq(head, []byte("\n")) {
		if value, ok := bytes.CutPrefix(line, []byte(field)); ok {
			value, _, _ = bytes.Cut(value, []byte("\r"))
			return value
		}
	}
	return nil
}
