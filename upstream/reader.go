package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"xoauth2-proxy/codec"
)

// readerSize is what a flight's replies usually fit; the buffer grows for more.
const readerSize = 2 << 10

// replyReader reads replies, using one buffer for one connection after the other.
type replyReader struct {
	buf        []byte
	start, end int
}

// reset forgets what is left, for another connection or transaction.
func (r *replyReader) reset() {
	if r.buf == nil || cap(r.buf) > 8*readerSize {
		r.buf = make([]byte, readerSize)
	}
	r.start, r.end = 0, 0
}

// buffered reports whether there is input behind the last reply.
func (r *replyReader) buffered() bool { return r.start < r.end }

// next returns the next reply on c. If full is false, a reply of success
// may come without Enhanced and Text.
func (r *replyReader) next(c *conn, full bool) (codec.Reply, error) {
	for {
		b := r.buf[r.start:r.end]
		if !full {
			if code, n := plainSuccess(b); n > 0 {
				r.start += n
				return codec.Reply{Code: code}, nil
			}
		}
		reply, n, err := codec.ParseReply(b)
		if err == nil {
			r.start += n
			return reply, nil
		}
		if !errors.Is(err, codec.ErrIncomplete) {
			return codec.Reply{}, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if err := r.fill(c); err != nil {
			return codec.Reply{}, err
		}
	}
}

// fill reads more behind what is there, at least up to a line end or to the
// length at which a reply is too long: less is not worth parsing.
func (r *replyReader) fill(c *conn) error {
	for {
		from := r.end - r.start
		if err := r.read(c); err != nil {
			return err
		}
		if bytes.IndexByte(r.buf[r.start+from:r.end], '\n') >= 0 || r.end-r.start >= codec.MaxReply {
			return nil
		}
	}
}

func (r *replyReader) read(c *conn) error {
	if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
		r.start, r.end = 0, r.end-r.start
	}
	if r.end == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := c.rw.Read(r.buf[r.end:])
	r.end += n
	if n > 0 {
		if r.end < len(r.buf) { // else the record may hold more
			c.wire.in.passed++
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// plainSuccess recognizes one whole 2yz or 3yz reply of one line at the start
// of b; n is its length, 0 if there is none.
func plainSuccess(b []byte) (code, n int) {
	if len(b) < 5 || b[0] != '2' && b[0] != '3' || b[3] != ' ' || b[1] < '0' || b[1] > '9' || b[2] < '0' || b[2] > '9' {
		return 0, 0
	}
	for i := 4; i < len(b); i++ {
		if b[i] == '\n' {
			return int(b[0]-'0')*100 + int(b[1]-'0')*10 + int(b[2]-'0'), i + 1
		}
	}
	return 0, 0
}
