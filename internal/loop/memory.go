package loop

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// crypto/tls keeps its read buffers for ever: 33 KB for a peer that has sent a large
// record, and the messages of the handshake for every peer. So a connection is lent a
// buffer for records only while there is something to read, and the memory of the
// handshake is released. The fields are not exported. A test shows that they are found in
// the version of Go that builds this; if they are not, the connections keep their memory.

const (
	// recordBuffer is the size of a lent buffer in octets: the longest record
	// there is, with its header (RFC 5246 section 6.2.3), and what bytes.Buffer
	// wants free after it, so that it never grows.
	recordBuffer = 5 + 16<<10 + 2048 + bytes.MinRead
	// keptRecord is how much of a record that has not come whole is copied to
	// memory of its own: a peer that stops there does not hold a lent buffer.
	keptRecord = 1024
)

// recordBuffers are the buffers that no connection has.
var recordBuffers = sync.Pool{New: func() any { return new([recordBuffer]byte) }}

// known are the offsets in a tls.Conn of what it reads into.
var known = find(reflect.TypeFor[tls.Conn]())

type offsets struct {
	found                 bool
	rawInput, input, hand uintptr
}

// find looks for them by name and type.
func find(conn reflect.Type) (o offsets) {
	o.found = true
	for _, f := range []struct {
		name   string
		is     reflect.Type
		offset *uintptr
	}{
		{"rawInput", reflect.TypeFor[bytes.Buffer](), &o.rawInput},
		{"input", reflect.TypeFor[bytes.Reader](), &o.input},
		{"hand", reflect.TypeFor[bytes.Buffer](), &o.hand},
	} {
		field, ok := conn.FieldByName(f.name)
		if !ok || field.Type != f.is || len(field.Index) != 1 {
			return offsets{}
		}
		*f.offset = field.Offset
	}
	return o
}

// memory is what a connection reads into.
type memory struct {
	raw   *bytes.Buffer // records, which are decrypted in place
	input *bytes.Reader // of what is decrypted, in raw
	hand  *bytes.Buffer // messages of the handshake, copied from raw
}

// of finds it in c; ok tells whether it can.
func of(c *tls.Conn) (m memory, ok bool) {
	if !known.found {
		return m, false
	}
	at := unsafe.Pointer(c)
	return memory{
		raw:   (*bytes.Buffer)(unsafe.Add(at, known.rawInput)),
		input: (*bytes.Reader)(unsafe.Add(at, known.input)),
		hand:  (*bytes.Buffer)(unsafe.Add(at, known.hand)),
	}, true
}

// lend gives the connection a buffer to read into, with what it has of a record
// already: before a Read, once the handshake is done.
func lend(c *tls.Conn) {
	m, ok := of(c)
	if !ok || m.raw.Cap() >= recordBuffer {
		return
	}
	lent := recordBuffers.Get().(*[recordBuffer]byte)
	*m.raw = *bytes.NewBuffer(append(lent[:0], m.raw.Bytes()...))
}

// reclaim takes back what the connection has consumed, whether it was lent or
// not: after a Read, once the handshake is done. Nothing in the connection refers to the buffer then: input
// was read to its end, and hand is a copy.
func reclaim(c *tls.Conn) {
	m, ok := of(c)
	if !ok {
		return
	}
	if m.hand.Len() == 0 {
		*m.hand = bytes.Buffer{}
	}
	if m.input.Len() > 0 || m.raw.Len() > keptRecord {
		return
	}
	m.input.Reset(nil)
	kept := bytes.Clone(m.raw.Bytes())
	m.raw.Reset()
	all := m.raw.AvailableBuffer()
	*m.raw = *bytes.NewBuffer(kept)
	if cap(all) == recordBuffer {
		recordBuffers.Put((*[recordBuffer]byte)(all[:recordBuffer]))
	}
}
