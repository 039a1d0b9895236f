package report

// pageSize is how many numbers a page has.
const pageSize = 1 << 15

// page has a bit for each number that was seen.
type page struct {
	bits [pageSize / 64]uint64
	seen int
}

// full stands for each page of which all numbers were seen.
var full = &page{seen: pageSize}

// numbers is the set of numbers that were seen of a process. Its size grows with the pages that
// are not full.
type numbers struct {
	pages map[uint64]*page
	count uint64
	last  uint64
}

// add adds a number, and reports false if it was in the set. pages is how many pages may still
// be made; without one, known is false and the number is not added.
func (s *numbers) add(n uint64, pages *int) (added, known bool) {
	if s.pages == nil {
		s.pages = map[uint64]*page{}
	}
	at := n / pageSize
	p := s.pages[at]
	if p == nil {
		if *pages == 0 {
			return false, false
		}
		*pages--
		p = &page{}
		s.pages[at] = p
	}
	word, bit := n%pageSize/64, uint64(1)<<(n%64)
	if p == full || p.bits[word]&bit != 0 {
		return false, true
	}
	p.bits[word] |= bit
	s.count++
	s.last = max(s.last, n)
	if p.seen++; p.seen == pageSize {
		s.pages[at] = full
		*pages++
	}
	return true, true
}
