package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// A session is one SMTP connection, used by one goroutine. Its buffers are its
// own, so that a message is sent without an allocation.
type session struct {
	dialogue *dialogue
	conn     net.Conn
	raw      syscall.RawConn // the TCP connection under conn

	in       []byte // received and not yet read
	inBuf    [4096]byte
	out      []byte // what the next write sends
	turn     *turn  // nil within TLS
	unsent   []byte // the part of out that the next fill sends ahead
	deadline time.Time

	pipelining, chunking bool // what the server offered, as far as we use it
	mail, rcpts          []byte
	header               *header
	account              int
	messages             int
	idleSince            time.Time
}

// openSession connects, and logs in as the account. The error is an *smtpError.
func openSession(d *dialogue, account int, login string) (*session, error) {
	s := &session{dialogue: d, account: account}
	if err := s.connect(); err != nil {
		return nil, err
	}
	if err := s.start(login); err != nil {
		s.conn.Close()
		return nil, err
	}
	s.renderEnvelope(login)
	s.idleSince = time.Now()
	return s, nil
}

// connect opens the TCP connection.
func (s *session) connect() error {
	// No keep-alives: that would be four system calls for a connection which
	// has timeouts of its own.
	dialer := net.Dialer{Timeout: s.dialogue.timeout, KeepAlive: -1}
	conn, err := dialer.Dial("tcp", s.dialogue.target)
	if err != nil {
		return &smtpError{phase: phaseConnect, text: err.Error()}
	}
	s.conn = conn
	if s.raw, err = conn.(*net.TCPConn).SyscallConn(); err != nil {
		conn.Close()
		return &smtpError{phase: phaseConnect, text: err.Error()}
	}
	if !s.dialogue.goodbyes {
		s.turn = newTurn(conn, s.raw)
	}
	return nil
}

// start does all of the dialogue that comes before the first message.
func (s *session) start(login string) error {
	s.extend(time.Now())
	if s.dialogue.tlsMode == "implicit" {
		if err := s.startTLS(); err != nil {
			return err
		}
	}
	if err := s.expect(phaseGreeting, 220); err != nil {
		return err
	}
	if err := s.ehlo(); err != nil {
		return err
	}
	if s.dialogue.tlsMode == "starttls" {
		if err := s.exchange(phaseTLS, 220, "STARTTLS"); err != nil {
			return err
		}
		if err := s.startTLS(); err != nil {
			return err
		}
		if err := s.ehlo(); err != nil {
			return err
		}
	}
	return s.login(login)
}

// startTLS wraps the connection.
func (s *session) startTLS() error {
	conn := tls.Client(s.conn, s.dialogue.tls)
	if err := conn.Handshake(); err != nil {
		return &smtpError{phase: phaseTLS, text: err.Error()}
	}
	s.conn, s.turn = conn, nil
	return nil
}

// ehlo greets and notes the keywords.
func (s *session) ehlo() error {
	if err := s.write("EHLO loadgen.example.com"); err != nil {
		return s.broken(phaseEHLO, err)
	}
	code, reply, err := s.reply()
	if err != nil {
		return s.broken(phaseEHLO, err)
	}
	if code != 250 {
		return refused(phaseEHLO, code, reply)
	}
	s.pipelining = s.dialogue.pipeline.use(hasKeyword(reply, "PIPELINING"))
	s.chunking = s.dialogue.bdat.use(hasKeyword(reply, "CHUNKING"))
	return nil
}

// hasKeyword reports whether an EHLO reply has the keyword in a line.
func hasKeyword(reply []byte, keyword string) bool {
	for line := range bytes.Lines(reply) {
		if len(line) > 4 {
			word, _, _ := bytes.Cut(bytes.TrimSpace(line[4:]), []byte(" "))
			if bytes.EqualFold(word, []byte(keyword)) {
				return true
			}
		}
	}
	return false
}

// login authenticates (RFC 4954), with the initial response where the
// mechanism has one.
func (s *session) login(login string) error {
	encode := base64.StdEncoding.EncodeToString
	switch s.dialogue.auth {
	case "plain":
		return s.exchange(phaseAUTH, 235, "AUTH PLAIN "+encode([]byte("\x00"+login+"\x00"+s.dialogue.password)))
	case "login":
		if err := s.exchange(phaseAUTH, 334, "AUTH LOGIN"); err != nil {
			return err
		}
		if err := s.exchange(phaseAUTH, 334, encode([]byte(login))); err != nil {
			return err
		}
		return s.exchange(phaseAUTH, 235, encode([]byte(s.dialogue.password)))
	}
	return nil
}

// renderEnvelope renders what all messages of the session have in common.
func (s *session) renderEnvelope(login string) {
	s.header = newHeader(login)
	s.mail = fmt.Appendf(nil, "MAIL FROM:<%s> SIZE=", login)
	for i := range s.dialogue.rcpts {
		s.rcpts = fmt.Appendf(s.rcpts, "RCPT TO:<recipient%d@example.net>\r\n", i+1)
	}
}

// exchange sends a line and wants the code for it.
func (s *session) exchange(phase phaseName, code int, line string) error {
	if err := s.write(line); err != nil {
		return s.broken(phase, err)
	}
	return s.expect(phase, code)
}

// write sends a line that wants a reply.
func (s *session) write(line string) error {
	s.out = append(append(s.out[:0], line...), "\r\n"...)
	return s.flush()
}

// expect reads a reply and wants the code.
func (s *session) expect(phase phaseName, want int) error {
	code, reply, err := s.reply()
	if err != nil {
		return s.broken(phase, err)
	}
	if code != want {
		return refused(phase, code, reply)
	}
	return nil
}

// broken returns the error for a failed connection.
func (s *session) broken(phase phaseName, err error) error {
	return &smtpError{phase: phase, text: err.Error()}
}

// refused returns the error for a reply that is not the wanted one.
func refused(phase phaseName, code int, reply []byte) error {
	return &smtpError{phase: phase, code: code, text: string(bytes.TrimSpace(reply))}
}

// extend moves the deadline of all reads and writes, unless it was moved less
// than a second ago: it is there for what hangs, and setting it costs.
func (s *session) extend(now time.Time) {
	deadline := now.Add(s.dialogue.timeout)
	if deadline.Sub(s.deadline) > time.Second {
		s.deadline = deadline
		// An error means that the connection is closed, which the next
		// read or write says too.
		_ = s.conn.SetDeadline(deadline)
	}
}

// stale reports whether the server has closed a connection that rested for a while, or has
// sent an unsolicited reply (a 421). An MTA would see either before it used the connection
// again.
func (s *session) stale(now time.Time) bool {
	if now.Sub(s.idleSince) < time.Second {
		return false
	}
	readable := true
	var peek [1]byte
	err := s.raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), peek[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		readable = !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
		return true
	})
	return err != nil || readable
}

// close says QUIT, waits for the answer, so that the server is not left with a
// connection that it has to find closed, and closes.
func (s *session) close() {
	if s.write("QUIT") == nil {
		_, _, _ = s.reply()
	}
	s.conn.Close()
}

// appendMail appends the MAIL command for a message.
func (s *session) appendMail(dst []byte, t *template) []byte {
	dst = append(dst, s.mail...)
	dst = strconv.AppendInt(dst, int64(t.size), 10)
	return append(dst, "\r\n"...)
}
