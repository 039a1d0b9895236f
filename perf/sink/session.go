package sink

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"
)

// A session is one SMTP connection. It checks nothing that it need not: what
// it is for is to cost nothing.
type session struct {
	sink *sink
	conn net.Conn
	tls  *tls.Config // not nil: STARTTLS is offered

	in  []byte // received and not yet read, a part of buf
	buf [32 << 10]byte
	out []byte // replies not yet sent
}

// errLine is returned for a command line that does not fit.
var errLine = errors.New("command line too long")

// serve speaks until the client has done so.
func (s *session) serve() {
	defer func() { s.conn.Close() }()
	s.say("220 sink.example.com ESMTP\r\n")
	for {
		line, err := s.line()
		if err != nil || !s.command(line) {
			_ = s.flush() // the connection ends either way
			return
		}
	}
}

// say queues a reply: it is sent when there is nothing left to read, so that
// the replies to a pipelined group leave together.
func (s *session) say(reply string) { s.out = append(s.out, reply...) }

// flush sends the queued replies.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// fill receives more after the unread octets.
func (s *session) fill() error {
	if err := s.flush(); err != nil {
		return err
	}
	n := copy(s.buf[:], s.in)
	if n == len(s.buf) {
		return errLine
	}
	m, err := s.conn.Read(s.buf[n:])
	s.in = s.buf[:n+m]
	if m > 0 {
		return nil
	}
	return err
}

// line reads a line, without its end. It is borrowed until the next read.
func (s *session) line() ([]byte, error) {
	for searched := 0; ; {
		if i := bytes.IndexByte(s.in[searched:], '\n'); i >= 0 {
			line := s.in[:searched+i]
			s.in = s.in[searched+i+1:]
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		searched = len(s.in)
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// command runs one command; it is false if that was the last.
func (s *session) command(line []byte) bool {
	verb, args, _ := bytes.Cut(line, []byte(" "))
	var err error
	switch strings.ToUpper(string(verb)) {
	case "MAIL", "RCPT", "RSET", "NOOP":
		s.say("250 2.1.0 OK\r\n")
	case "DATA":
		s.say("354 go ahead\r\n")
		if err = s.data(); err == nil {
			s.taken()
		}
	case "BDAT":
		size, last, _ := bytes.Cut(args, []byte(" "))
		var n int
		if n, err = strconv.Atoi(string(size)); err != nil || n < 0 {
			s.say("501 5.5.4 BDAT size\r\n")
			return false
		}
		if err = s.skip(n); err == nil && len(last) > 0 {
			s.taken()
		} else if err == nil {
			s.say("250 2.0.0 chunk\r\n")
		}
	case "EHLO":
		s.say("250-sink.example.com\r\n250-PIPELINING\r\n250-CHUNKING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250-SIZE 104857600\r\n")
		if s.tls != nil {
			s.say("250-STARTTLS\r\n")
		}
		s.say("250 AUTH PLAIN LOGIN XOAUTH2\r\n")
	case "HELO":
		s.say("250 sink.example.com\r\n")
	case "AUTH":
		err = s.auth(args)
	case "STARTTLS":
		err = s.startTLS()
	case "QUIT":
		s.say("221 2.0.0 bye\r\n")
		return false
	default:
		s.say("500 5.5.1 unknown\r\n")
	}
	return err == nil
}

// taken counts a message and says so, in its own time.
func (s *session) taken() {
	if s.sink.pace > 0 {
		time.Sleep(s.sink.pace)
	}
	s.sink.messages.Add(1)
	s.say("250 2.0.0 taken\r\n")
}

// auth accepts every login, by any mechanism.
func (s *session) auth(args []byte) error {
	mechanism, initial, _ := bytes.Cut(args, []byte(" "))
	more := 0
	switch {
	case bytes.EqualFold(mechanism, []byte("LOGIN")):
		more = 2
	case len(initial) == 0:
		more = 1
	}
	for range more {
		s.say("334 \r\n")
		if _, err := s.line(); err != nil {
			return err
		}
	}
	s.say("235 2.7.0 accepted\r\n")
	return nil
}

// startTLS goes on encrypted.
func (s *session) startTLS() error {
	if s.tls == nil {
		s.say("502 5.5.1 not here\r\n")
		return nil
	}
	s.say("220 2.0.0 go ahead\r\n")
	if err := s.flush(); err != nil {
		return err
	}
	s.in = nil
	s.conn = tls.Server(buffered{s.conn, bufio.NewReaderSize(s.conn, len(s.buf))}, s.tls)
	s.tls = nil
	return nil
}

// buffered reads as much as there is: package tls asks for the head of a record and
// then for the rest.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// endOfData ends content that is not empty.
var endOfData = []byte("\r\n.\r\n")

// data reads content up to its end and drops it.
func (s *session) data() error {
	for bytes.HasPrefix([]byte(".\r\n"), s.in[:min(len(s.in), 3)]) { // so far it may be an empty message
		if len(s.in) >= 3 {
			s.in = s.in[3:]
			return nil
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
	for {
		if i := bytes.Index(s.in, endOfData); i >= 0 {
			s.in = s.in[i+len(endOfData):]
			return nil
		}
		// The end may be cut: its beginning stays.
		s.in = s.in[max(0, len(s.in)-len(endOfData)+1):]
		if err := s.fill(); err != nil {
			return err
		}
	}
}

// skip reads n octets and drops them.
func (s *session) skip(n int) error {
	for n > len(s.in) {
		n -= len(s.in)
		s.in = nil
		if err := s.fill(); err != nil {
			return err
		}
	}
	s.in = s.in[n:]
	return nil
}
