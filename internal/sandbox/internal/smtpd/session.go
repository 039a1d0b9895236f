package smtpd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

const (
	maxCommandLine = 2048      // octets with CRLF: RFC 5321 section 4.5.3.1.4 and its extensions
	maxAuthLine    = 12288 + 2 // RFC 4954 section 4
	maxErrors      = 20        // refusals in one session
	// closeTime is how long a session that ended in order waits for the
	// client to close too.
	closeTime = 5 * time.Second
)

// session is one SMTP connection, served by one goroutine.
type session struct {
	srv *Server
	ep  *endpoint
	id  uint64
	raw *net.TCPConn
	tls *tls.Conn // nil in clear
	br  *bufio.Reader
	w   replyWriter

	offer   *offer // of the last EHLO; nil before it
	dropped string // keyword to leave out of the next EHLO reply
	box     *mailbox.Mailbox
	tx      transaction
	errors  int
	carried int  // messages accepted
	ended   bool // no more commands: QUIT, fault, connection lost

	deadline time.Time // of reading, as last set
	perConn  map[*fault.Fault]int64
	long     []byte // a line longer than the reader's buffer
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// run serves the connection to its end.
func (s *session) run(implicit bool) {
	defer s.end()
	s.br = readers.Get().(*bufio.Reader)
	s.br.Reset(s.raw)
	s.w.conn, s.w.closed = s.raw, s.srv.conns.Done()
	s.guard(fault.PhaseConnect, nil, func() {})
	if implicit && !s.ended {
		s.startTLS()
	}
	if !s.ended {
		s.greet()
	}
	for !s.ended {
		line, err := s.readLine(maxAuthLine)
		if err == nil && len(line)+len("\r\n") > s.commandLimit(line) {
			err = errLineTooLong
		}
		if err != nil {
			s.lineError(err)
			continue
		}
		if line != nil {
			s.command(line)
		}
	}
}

// commandLimit returns how long a command line may be, in octets with CRLF.
func (s *session) commandLimit(line []byte) int {
	if limit := s.ep.limits.CommandLine; limit > 0 {
		return limit
	}
	if verb, _ := splitVerb(line); verb == "AUTH" {
		return maxAuthLine
	}
	return maxCommandLine
}

// end closes the connection and ends the login. The reader goes back to the pool
// without its reference to the connection.
func (s *session) end() {
	s.tx.reset()
	s.w.close()
	if s.tls != nil {
		s.tls.Close()
	}
	s.raw.Close()
	if s.box != nil {
		s.box.Logout(s.id)
	}
	s.br.Reset(nil)
	readers.Put(s.br)
	s.srv.counters.count(func(c *Stats) { c.Open-- })
}

func (s *session) greet() {
	s.guard(fault.PhaseBanner, nil, func() {
		if s.tls == nil && wait.HasInput(s.raw) {
			s.violation(ViolationEarlyTalk)
		}
		s.reply(s.ep.preset.greeting)
	})
}

var (
	errLineTooLong = errors.New("line too long")
	errLineEnd     = errors.New("bare LF or NUL in line")
)

// readLine returns the next line without its CRLF, valid until the next read.
// It sends the pending replies first unless a whole line is there already. A
// nil line without error means that an idle fault struck.
func (s *session) readLine(limit int) ([]byte, error) {
	if b, _ := s.br.Peek(s.br.Buffered()); bytes.IndexByte(b, '\n') < 0 {
		s.flush()
		if s.ended || len(b) == 0 && s.idle() {
			return nil, nil
		}
		s.armIdle()
	}
	line, err := s.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.readLong(line, limit)
	}
	switch {
	case err != nil:
		return nil, err
	case len(line) > limit:
		return nil, errLineTooLong
	case len(line) < 2 || line[len(line)-2] != '\r' || bytes.IndexByte(line, 0) >= 0:
		return nil, errLineEnd
	}
	return line[:len(line)-2], nil
}

// readLong goes on reading a line that begins with part. It keeps little beyond the
// limit.
func (s *session) readLong(part []byte, limit int) ([]byte, error) {
	s.long = append(s.long[:0], part...)
	for {
		line, err := s.br.ReadSlice('\n')
		if len(s.long) <= limit {
			s.long = append(s.long, line...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return s.long, err
		}
	}
}

// armIdle makes reads fail after the idle timeout.
func (s *session) armIdle() {
	if idle := time.Duration(s.ep.limits.IdleTimeout); idle > 0 {
		s.armDeadline(idle)
	}
}

// armDeadline makes reads fail after d. A deadline that is at most an eighth too
// early stays: that saves the system a timer for each read.
func (s *session) armDeadline(d time.Duration) {
	now := time.Now()
	if left := s.deadline.Sub(now); left < d-d/8 || left > d {
		s.deadline = now.Add(d)
		s.raw.SetReadDeadline(s.deadline)
	}
}

// idle is called when there is no input. It reports whether a fault struck.
func (s *session) idle() bool {
	if s.box == nil || s.tx.open {
		return false
	}
	f := s.hit(fault.PhaseIdle, nil)
	if f == nil {
		return false
	}
	if f.Delay > 0 {
		s.deadline = time.Now().Add(time.Duration(f.Delay))
		s.raw.SetReadDeadline(s.deadline)
		if _, err := s.br.Peek(1); !isTimeout(err) {
			f.Untake()
			return false
		}
	}
	s.act(f, nil)
	return true
}

// lineError answers an error of readLine, or ends the session.
func (s *session) lineError(err error) {
	switch {
	case errors.Is(err, errLineTooLong):
		s.refuse(ViolationLineLength, s.ep.preset.replies[replyCommandLine])
	case errors.Is(err, errLineEnd):
		s.refuse(ViolationLineEnd, "500 5.5.2 Line does not end in CRLF")
	case isTimeout(err):
		s.reply("421 4.4.2 Timeout - closing connection")
		s.flush()
		s.shut(fault.ActionClose)
	default:
		s.ended = true
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// reply adds a reply to the pending ones. '\n' parts lines.
func (s *session) reply(text string) { s.w.append(text) }

// refuse notes a violation and replies. Too many refusals end the session.
func (s *session) refuse(violation, text string) {
	s.violation(violation)
	s.reply(text)
	if s.errors++; s.errors > maxErrors {
		s.reply("421 4.7.0 Too many errors")
		s.flush()
		s.shut(fault.ActionClose)
	}
}

func (s *session) violation(name string) { s.srv.counters.violation(name) }

// flush sends the pending replies, at once or when their delay is over.
func (s *session) flush() {
	if err := s.w.flush(); err != nil {
		s.ended = true
	}
}

// shut ends the session, and waits for the client to close, since unread input
// would turn FIN into RST. ActionClose ends TLS in order too; ActionReset sends RST
// at once.
func (s *session) shut(how fault.Action) {
	s.ended = true
	s.flush()
	s.w.drain()
	switch how {
	case fault.ActionReset:
		s.raw.SetLinger(0)
		s.raw.Close()
		return
	case fault.ActionClose:
		if s.tls != nil {
			s.tls.CloseWrite()
		}
	}
	s.raw.CloseWrite()
	s.raw.SetReadDeadline(time.Now().Add(closeTime))
	io.Copy(io.Discard, s.raw)
}
