package main

import (
	"crypto/sha256"
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

// An id names one message of one run, as its X-Load-Id field does: eight hex
// digits for the run, a slash and ten digits for the message.
type id [idSize]byte

const (
	runSize = 8
	idSize  = runSize + 1 + 10
)

// newID returns the id of message 0 of the run; set makes it another's.
func newID(run string) (x id) {
	copy(x[:], run)
	x[runSize] = '/'
	x.set(0)
	return x
}

// set makes x the id of message seq of the same run.
func (x *id) set(seq int) {
	for i := idSize - 1; i > runSize; i-- {
		x[i] = byte('0' + seq%10)
		seq /= 10
	}
}

// A header is the header of all messages that a session sends: fields for the sandbox's
// account of the run (see its HeaderLoad constants) among the fields of any mail. It is
// headerSize octets long for every account.
type header struct {
	chunk
	sum int // where the value of X-Load-Sum goes
}

// headerText begins a header. The fields that differ follow it.
const headerText = "From: Load generator <loadgen@example.com>\r\n" +
	"To: Recipient <recipient@example.net>\r\n" +
	"Subject: Load test\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"

const (
	headerSize = 512
	// maxLogin is the longest login for which a header keeps its size.
	maxLogin = 160
)

// newHeader renders the header of the account's messages.
func newHeader(login string) *header {
	h := &header{}
	blank := strings.Repeat("0", idSize)
	h.text = append(h.text, headerText...)
	field := func(name, value, after string) (at int) {
		h.text = append(h.text, name...)
		at = len(h.text)
		h.text = append(append(append(h.text, value...), after...), "\r\n"...)
		return at
	}
	h.stamps = append(h.stamps, field("Message-ID: <", blank, "@loadgen.example.com>"))
	h.stamps = append(h.stamps, field("X-Load-Id: ", blank, ""))
	field("X-Load-Account: ", login, "")
	h.sum = field("X-Load-Sum: ", "00000000", "")
	const padding = "X-Load-Padding: "
	field(padding, strings.Repeat("x", headerSize-len(h.text)-len(padding)-4), "")
	h.text = append(h.text, "\r\n"...)
	return h
}

// appendTo appends the header of message x, whose body has the sum.
func (h *header) appendTo(dst []byte, x *id, sum uint32) []byte {
	const digits = "0123456789abcdef"
	at := len(dst) + h.sum
	dst = h.chunk.appendTo(dst, x)
	for i := range 8 {
		dst[at+i] = digits[sum>>(28-4*i)&15]
	}
	return dst
}

// A template is the body of all messages of one size in one run, rendered
// once. Every kilobyte or so of it has a line that carries the message's id,
// so that a server that mixes the contents of two messages up cannot do so
// unnoticed.
type template struct {
	size    int     // octets of header and body, unstuffed
	raw     []chunk // for BDAT
	stuffed []chunk // for DATA, with the end-of-data line

	// sum0 is the CRC-32C of the body of message 0, and sumDelta what it
	// changes by for a digit of the number. The checksum is linear, so that
	// of any message is had without reading the body again.
	sum0     uint32
	sumDelta [idSize - runSize - 1][10]uint32
}

// A chunk is what one write sends: a part of the content and the places in it
// that the id goes to. No place is cut by a chunk's end.
type chunk struct {
	text   []byte
	stamps []int
}

const (
	// chunkSize is where a chunk ends: a message below it goes out in one write.
	chunkSize = 256 << 10
	// stampEvery is the distance of two stamps, in octets.
	stampEvery = 1000
	// minSize is the smallest message: a header, a stamp and a line.
	minSize = headerSize + 256
	// maxSize bounds the size of a message, which is kept twice.
	maxSize = 256 << 20
)

// newTemplate renders the body of messages of size octets, header included; it
// is at least minSize. The text is made up, and equal for equal sizes: lines
// of many lengths, lines that begin with a dot, empty lines, and one of 998
// octets where it fits.
func newTemplate(run string, size int) *template {
	b := &templateBuilder{stamp: newID(run)}
	bodySize := size - headerSize
	random := rand.New(rand.NewPCG(uint64(size), 2))
	for next := 0; b.size < bodySize-128; {
		if b.size >= next {
			b.stampLine()
			next += stampEvery
			continue
		}
		switch n := random.IntN(32); {
		case n == 0:
			b.line("")
		case n == 1:
			b.line(".")
		case n == 2:
			b.line("." + words(random, 40))
		case n == 3 && b.size < bodySize-1200:
			b.line(words(random, 998))
		default:
			b.line(words(random, 20+random.IntN(58)))
		}
	}
	b.line(words(random, bodySize-b.size-2))
	b.cut()
	last := &b.stuffed[len(b.stuffed)-1]
	last.text = append(last.text, ".\r\n"...)
	t := &template{size: size, raw: b.raw, stuffed: b.stuffed}
	t.learnSums(run)
	return t
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// learnSums computes sum0 and sumDelta.
func (t *template) learnSums(run string) {
	zero := newID(run)
	t.sum0 = t.checksum(&zero)
	for i := range t.sumDelta {
		for digit := range t.sumDelta[i] {
			x := zero
			x[runSize+1+i] = byte('0' + digit)
			t.sumDelta[i][digit] = t.checksum(&x) ^ t.sum0
		}
	}
}

// checksum computes the checksum of the body of x by reading it.
func (t *template) checksum(x *id) uint32 {
	sum := uint32(0)
	var buf []byte
	for i := range t.raw {
		buf = t.raw[i].appendTo(buf[:0], x)
		sum = crc32.Update(sum, castagnoli, buf)
	}
	return sum
}

// sum returns the CRC-32C of the body of x.
func (t *template) sum(x *id) uint32 {
	sum := t.sum0
	for i := range t.sumDelta {
		sum ^= t.sumDelta[i][x[runSize+1+i]-'0']
	}
	return sum
}

// words returns n octets of text, words of small letters.
func words(random *rand.Rand, n int) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = byte('a' + random.IntN(26))
		if i%7 == 6 {
			text[i] = ' '
		}
	}
	return string(text)
}

// A templateBuilder collects lines in both forms.
type templateBuilder struct {
	stamp        id
	size         int // of the raw form
	raw, stuffed []chunk
	open         [2]chunk // the chunks being filled, raw and stuffed
}

// line adds a line.
func (b *templateBuilder) line(text string) {
	if len(b.open[0].text) >= chunkSize {
		b.cut()
	}
	if strings.HasPrefix(text, ".") {
		b.open[1].text = append(b.open[1].text, '.')
	}
	for i := range b.open {
		b.open[i].text = append(append(b.open[i].text, text...), "\r\n"...)
	}
	b.size += len(text) + 2
}

// stampLine adds a line that carries the id.
func (b *templateBuilder) stampLine() {
	const label = "stamp "
	b.line(label + string(b.stamp[:]))
	for i := range b.open {
		c := &b.open[i]
		c.stamps = append(c.stamps, len(c.text)-idSize-2)
	}
}

// cut ends the open chunks.
func (b *templateBuilder) cut() {
	b.raw = append(b.raw, b.open[0])
	b.stuffed = append(b.stuffed, b.open[1])
	b.open = [2]chunk{}
}

// appendTo appends the chunk with x in its places.
func (c *chunk) appendTo(dst []byte, x *id) []byte {
	at := len(dst)
	dst = append(dst, c.text...)
	for _, stamp := range c.stamps {
		copy(dst[at+stamp:], x[:])
	}
	return dst
}

// hash returns the SHA-256 of message x with the header, and the buffer for the
// next call.
func (t *template) hash(h *header, x *id, buf []byte) ([sha256.Size]byte, []byte) {
	buf = h.appendTo(buf[:0], x, t.sum(x))
	for i := range t.raw {
		buf = t.raw[i].appendTo(buf, x)
	}
	return sha256.Sum256(buf), buf
}
