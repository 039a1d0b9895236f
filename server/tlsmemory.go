package server

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"sync"
	"unsafe"
)

// crypto/tls keeps for ever what it has read into: 33 KB for a client that has
// sent a large record, and the ClientHello for every one. So a connection is
// lent a buffer for records only while there is something to read, and what the
// handshake left is let go. The fields are not exported; a test shows that they
// are found in the version of Go that builds this, and if they are not, the
// connections keep their memory.

const (
	// recordBuffer is the size of a lent buffer in octets: the longest record
	// there is (RFC 5246 section 6.2.3) and what bytes.Buffer wants free behind
	// it, so that it never grows.
	recordBuffer = recordHeader + maxRecord + 2048 + bytes.MinRead
	// keptRecord is how much of a record that has not come whole is copied to
	// memory of its own: a client that stops there does not hold a lent buffer.
	keptRecord = 1024
)

// recordBuffers are those that no connection has.
var recordBuffers = sync.Pool{New: func() any { return new([recordBuffer]byte) }}

// tlsFields are the offsets in a tls.Conn of what it reads into.
var tlsFields = findTLSFields(reflect.TypeFor[tls.Conn]())

type tlsOffsets struct {
	found                 bool
	rawInput, input, hand uintptr
}

// findTLSFields looks for them by name and type.
func findTLSFields(conn reflect.Type) (o tlsOffsets) {
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
			return tlsOffsets{}
		}
		*f.offset = field.Offset
	}
	return o
}

// tlsMemory is what a connection reads into. Whoever drives the connection may
// touch it between two calls, once the handshake is done.
type tlsMemory struct {
	raw   *bytes.Buffer // records, which are decrypted in place
	input *bytes.Reader // of what is decrypted, in raw
	hand  *bytes.Buffer // messages of the handshake, copied from raw
}

// memoryOf finds it in c; ok tells whether it can.
func memoryOf(c *tls.Conn) (m tlsMemory, ok bool) {
	if !tlsFields.found {
		return m, false
	}
	at := unsafe.Pointer(c)
	return tlsMemory{
		raw:   (*bytes.Buffer)(unsafe.Add(at, tlsFields.rawInput)),
		input: (*bytes.Reader)(unsafe.Add(at, tlsFields.input)),
		hand:  (*bytes.Buffer)(unsafe.Add(at, tlsFields.hand)),
	}, true
}

// lendMemory gives the connection a buffer to read into, with what it has of a
// record already.
func lendMemory(c *tls.Conn) {
	m, ok := memoryOf(c)
	if !ok || m.raw.Cap() >= recordBuffer {
		return
	}
	lent := recordBuffers.Get().(*[recordBuffer]byte)
	*m.raw = *bytes.NewBuffer(append(lent[:0], m.raw.Bytes()...))
}

// reclaimMemory takes back what the connection has consumed. Nothing in it refers
// to the buffer then: input was read to its end, and hand is a copy.
func reclaimMemory(c *tls.Conn) {
	m, ok := memoryOf(c)
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
