package upstream

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	// recordSize is the most plaintext that fits a TLS record (RFC 8446
	// section 5.1).
	recordSize = 16 << 10
	// corkSize is how much ciphertext is gathered for one write.
	corkSize = 256 << 10
)

// corks are buffers for gathered ciphertext: only connections that are sending
// have one.
var corks = sync.Pool{New: func() any { b := make([]byte, 0, corkSize); return &b }}

// wire is the TCP connection below TLS. A worker does blocking I/O on it; a loop
// hands in what it has read and takes what is to be written. Corked, it gathers the records of one
// flight into few large writes. It also knows whether the end of the content
// may have left.
type wire struct {
	tcp *net.TCPConn
	// corked gathers; nil: write through.
	corked *[]byte
	// progress is the timeout for each write while corked, until the end of all.
	progress time.Duration
	until    time.Time
	// last marks that what is written next ends the content, and left that
	// some of it went out.
	last, left bool
	// sent counts the bytes written.
	sent int64
	// dry makes Read fail with a timeout instead of asking the kernel.
	dry bool
	in  framing
	// driven: a loop does the I/O. What it has read is in input, and it writes to
	// socket, which is nil when the connection is gone.
	driven bool
	input  []byte
	socket Socket
}

// framing follows the records (RFC 8446 section 5.1) that come in, in order to
// know whether the TLS layer has read more than it has passed on.
type framing struct {
	on      bool // TLS has begun
	header  [5]byte
	have    int // octets of header
	missing int // octets of the record behind the header
	records int // whole records read from the socket in this transaction
	passed  int // times that the TLS layer passed on data, from a record at least
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if w.dry {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := w.read(p)
	if w.in.on {
		w.in.follow(p[:n])
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	if !w.driven {
		return w.tcp.Read(p)
	}
	if len(w.input) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p, w.input)
	w.input = w.input[n:]
	return n, nil
}

// follow takes note of what came in.
func (f *framing) follow(b []byte) {
	for len(b) > 0 {
		if f.missing == 0 {
			n := copy(f.header[f.have:], b)
			f.have += n
			b = b[n:]
			if f.have < len(f.header) {
				return
			}
			f.missing = int(f.header[3])<<8 | int(f.header[4])
			f.have = 0
		}
		n := min(f.missing, len(b))
		f.missing -= n
		b = b[n:]
		if f.missing == 0 {
			f.records++
		}
	}
}

// readAhead reports whether the TLS layer may have read more than it has passed
// on: a whole record, or a part of one.
func (w *wire) readAhead() bool { return w.in.records > w.in.passed || w.partial() }

// partial reports whether the rest of a record is still to come.
func (w *wire) partial() bool { return w.in.have > 0 || w.in.missing > 0 }

// begin marks the start of a transaction.
func (w *wire) begin() {
	w.last, w.left = false, false
	w.in.records, w.in.passed = 0, 0
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	if w.corked == nil {
		return w.write(p)
	}
	if len(*w.corked)+len(p) > corkSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	*w.corked = append(*w.corked, p...)
	return len(p), nil
}

func (w *wire) write(p []byte) (int, error) {
	var n int
	var err error
	switch {
	case !w.driven:
		n, err = w.tcp.Write(p)
	case w.socket == nil:
		return 0, net.ErrClosed
	default:
		n, err = w.socket.Write(p)
	}
	w.sent += int64(n)
	if w.last && n > 0 {
		w.left = true
	}
	return n, err
}

// flush writes what was gathered.
func (w *wire) flush() error {
	if len(*w.corked) == 0 {
		return nil
	}
	if !w.driven {
		deadline := time.Now().Add(w.progress)
		if w.until.Before(deadline) {
			deadline = w.until
		}
		if err := w.tcp.SetWriteDeadline(deadline); err != nil {
			return err
		}
	}
	_, err := w.write(*w.corked)
	*w.corked = (*w.corked)[:0]
	return err
}

// cork starts gathering; each write out may take as long as progress, but not
// beyond until.
func (w *wire) cork(progress time.Duration, until time.Time) {
	w.corked = corks.Get().(*[]byte)
	w.progress, w.until = progress, until
}

// uncork writes out what was gathered and stops gathering. After an error of
// the layer above there is nothing to write: failed drops it.
func (w *wire) uncork(failed bool) (err error) {
	if !failed {
		err = w.flush()
	}
	*w.corked = (*w.corked)[:0]
	corks.Put(w.corked)
	w.corked = nil
	return err
}

// Close implements net.Conn.
func (w *wire) Close() error { return w.tcp.Close() }

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.tcp.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.tcp.RemoteAddr() }

// SetDeadline implements net.Conn.
func (w *wire) SetDeadline(t time.Time) error { return w.tcp.SetDeadline(t) }

// SetReadDeadline implements net.Conn.
func (w *wire) SetReadDeadline(t time.Time) error { return w.tcp.SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (w *wire) SetWriteDeadline(t time.Time) error { return w.tcp.SetWriteDeadline(t) }
