package codec

import (
	"io"
	"sync/atomic"

	"github.com/valyala/bytebufferpool"
)

// Capacities of segments in octets. Most messages fit the first one; a big one
// pays for few further ones.
const (
	FirstSegmentSize = 16 << 10
	SegmentSize      = 64 << 10
)

var (
	firstSegments   bytebufferpool.Pool
	furtherSegments bytebufferpool.Pool
	liveSegments    atomic.Int64
)

// LiveSegments returns the number of segments in use by all contents.
func LiveSegments() int64 { return liveSegments.Load() }

// Content is the content of one message, as it is after dot-unstuffing, in
// pooled segments. It has one owner at a time and is not safe for concurrent
// use.
type Content struct {
	memory   Memory
	segments []*Buffer
	size     int64
	charged  int64
	inline   [4]*Buffer // first backing of segments
}

// Memory is what the segments of contents are charged to: a Budget, or a Share of one.
type Memory interface {
	// TryReserve takes n octets, or none and returns false.
	TryReserve(n int64) bool
	// Release gives back n octets that TryReserve took.
	Release(n int64)
}

// NewContent returns an empty content, owned by the caller, whose segments are
// charged to m. Nil does not limit it.
func NewContent(m Memory) *Content {
	c := &Content{memory: m}
	c.segments = c.inline[:0]
	return c
}

// Size returns the number of octets.
func (c *Content) Size() int64 { return c.size }

// NumSegments returns the number of segments.
func (c *Content) NumSegments() int { return len(c.segments) }

// Segment returns the octets of segment i. They are borrowed: valid until the
// next Append or Release.
func (c *Content) Segment(i int) []byte { return c.segments[i].B }

// Append copies p to the end. It returns ErrBudget, and appends nothing, if
// the budget does not allow for the segments needed.
func (c *Content) Append(p []byte) error {
	if free := c.free(); len(p) > free {
		if err := c.reserve(len(p) - free); err != nil {
			return err
		}
	}
	c.size += int64(len(p))
	for len(p) > 0 {
		if c.free() == 0 {
			c.grow()
		}
		seg := c.segments[len(c.segments)-1]
		n := min(len(p), cap(seg.B)-len(seg.B))
		seg.B = append(seg.B, p[:n]...)
		p = p[n:]
	}
	return nil
}

// free returns the unused capacity of the last segment.
func (c *Content) free() int {
	if len(c.segments) == 0 {
		return 0
	}
	last := c.segments[len(c.segments)-1].B
	return cap(last) - len(last)
}

// reserve charges the segments that n more octets need to the budget.
func (c *Content) reserve(n int) error {
	need := further(int64(n))
	if len(c.segments) == 0 {
		need = Capacity(int64(n))
	}
	if c.memory != nil && !c.memory.TryReserve(need) {
		return ErrBudget
	}
	c.charged += need
	return nil
}

// Capacity returns the capacity of the segments of a content of n octets; a segment at
// least.
func Capacity(n int64) int64 { return FirstSegmentSize + further(n-FirstSegmentSize) }

// further returns the capacity of the segments for n octets beyond the first segment.
func further(n int64) int64 { return (max(n, 0) + SegmentSize - 1) / SegmentSize * SegmentSize }

// grow adds an empty segment.
func (c *Content) grow() {
	if len(c.segments) == 0 {
		c.segments = append(c.segments, getSegment(&firstSegments, FirstSegmentSize))
		return
	}
	c.segments = append(c.segments, getSegment(&furtherSegments, SegmentSize))
}

// getSegment returns an empty buffer of exactly size octets of capacity. The
// pool may give out an empty one: it does not know the size before it has
// calibrated.
func getSegment(pool *bytebufferpool.Pool, size int) *Buffer {
	b := pool.Get()
	if cap(b.B) != size {
		b.B = make([]byte, 0, size)
	}
	trackGet(b)
	liveSegments.Add(1)
	return b
}

func putSegment(pool *bytebufferpool.Pool, b *Buffer) {
	trackPut(b)
	b.B = b.B[:cap(b.B)] // the pool learns from the length: one size for all
	pool.Put(b)
	liveSegments.Add(-1)
}

// Release gives the segments back to their pool and their charge to the
// budget. The owner calls it once; c must not be used any more.
func (c *Content) Release() {
	trackRelease(c)
	c.Discard()
	c.size = 0
}

// Discard gives back the memory of content that is not needed any more, and
// its share of the budget. Only Size and Release may be called after it.
func (c *Content) Discard() {
	for i, b := range c.segments {
		if i == 0 {
			putSegment(&firstSegments, b)
		} else {
			putSegment(&furtherSegments, b)
		}
		c.segments[i] = nil
	}
	if c.memory != nil {
		c.memory.Release(c.charged)
	}
	c.segments, c.charged = nil, 0
}

// WriteTo writes the octets as they are, as for BDAT (RFC 3030). It implements
// io.WriterTo.
func (c *Content) WriteTo(w io.Writer) (n int64, err error) {
	for _, seg := range c.segments {
		m, err := w.Write(seg.B)
		n += int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
