package sandbox

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
)

// Header fields of a load message. The sandbox reads them in the first 4 KiB
// of the content, each spelt exactly so, with one space after the colon.
const (
	// HeaderLoadID has RUN/NUMBER: a name without '/' and a decimal number.
	HeaderLoadID = "X-Load-Id: "
	// HeaderLoadAccount has the login that the message must come under.
	HeaderLoadAccount = "X-Load-Account: "
	// HeaderLoadSum has LoadSum of what follows the header's empty line.
	HeaderLoadSum = "X-Load-Sum: "
)

// Bounds of what load accounting remembers.
const (
	maxLoadRuns   = 64       // the newest ones
	maxLoadPages  = 16 << 10 // 8 KiB each, 65,536 numbers a page
	maxDuplicates = 1000
	loadHeader    = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// LoadSum is the value of HeaderLoadSum for a body: CRC-32C in hex. It costs
// next to nothing, and finds any damage that is not malice.
func LoadSum(body []byte) string { return fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) }

// LoadStats is the account of one load run: what a generator compares with
// what was acknowledged to it.
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

// countLoad enters a message into the account of its run. st.mu is held.
func (st *store) countLoad(account string, content []byte) {
	head := content[:min(len(content), loadHeader)]
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		return
	}
	head = head[:end]
	run, num, ok := bytes.Cut(headerValue(head, HeaderLoadID), []byte{'/'})
	n, numeric := parseNumber(num)
	if !ok || !numeric {
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
	if want := headerValue(head, HeaderLoadAccount); want != nil && !equalFold(want, account) {
		l.WrongAccount++
	}
	if want := headerValue(head, HeaderLoadSum); want != nil {
		if got, ok := parseHex32(want); !ok || got != crc32.Checksum(content[end+4:], castagnoli) {
			l.WrongSum++
		}
	}
	l.enter(uint64(n))
}

// enter marks number n as delivered.
func (l *loadRun) enter(n uint64) {
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
	keys := make([]uint64, 0, len(l.pages))
	for k := range l.pages {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for i, word := range l.pages[k] {
			for bit := uint64(0); word != 0 && bit < 64; bit++ {
				if word&(1<<bit) == 0 {
					continue
				}
				n := k<<16 | uint64(i)<<6 | bit
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

// Loads returns the account of each load run, without its ranges.
func (s *Server) Loads() []LoadStats {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	out := make([]LoadStats, 0, len(s.store.loads))
	for _, l := range s.store.loads {
		c := l.LoadStats
		c.DuplicateOf = slices.Clone(c.DuplicateOf)
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b LoadStats) int { return strings.Compare(a.Run, b.Run) })
	return out
}

// Load returns the account of one load run with the delivered numbers. ok is
// false if no message of that run came.
func (s *Server) Load(run string) (stats LoadStats, ok bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	l := s.store.loads[run]
	if l == nil {
		return LoadStats{}, false
	}
	stats = l.LoadStats
	stats.DuplicateOf = slices.Clone(stats.DuplicateOf)
	stats.DeliveredRanges = l.ranges()
	return stats, true
}

// headerValue returns the value of a field that begins a line, or nil.
func headerValue(head []byte, field string) []byte {
	for from := 0; ; {
		i := bytes.Index(head[from:], []byte(field))
		if i < 0 {
			return nil
		}
		i += from
		if i == 0 || head[i-1] == '\n' {
			value := head[i+len(field):]
			if end := bytes.IndexByte(value, '\r'); end >= 0 {
				value = value[:end]
			}
			return value
		}
		from = i + len(field)
	}
}

// parseNumber reads a decimal number of at most 18 digits.
func parseNumber(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

func parseHex32(b []byte) (uint32, bool) {
	if len(b) != 8 {
		return 0, false
	}
	n := uint32(0)
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			n = n<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | uint32(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// equalFold compares ASCII addresses without regard to case or allocation.
func equalFold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
