package codec

import "github.com/valyala/bytebufferpool"

// Buffer is a pooled byte buffer. Its holder owns it, until PutBuffer.
type Buffer = bytebufferpool.ByteBuffer

// maxPooledLine is the capacity, in octets, above which a line buffer is not
// pooled: a rare long line must not stay in memory. A whole AUTH line fits.
const maxPooledLine = 16 << 10

var linePool bytebufferpool.Pool

// GetBuffer returns an empty buffer for lines and replies, owned by the caller.
func GetBuffer() *Buffer {
	b := linePool.Get()
	trackGet(b)
	return b
}

// PutBuffer takes a buffer back. Its bytes must not be used any more.
func PutBuffer(b *Buffer) {
	trackPut(b)
	if cap(b.B) <= maxPooledLine {
		linePool.Put(b) // not reset: the pool learns from its length
	}
}
