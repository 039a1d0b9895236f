package smtpd

import (
	"bytes"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

var endOfData = []byte("\r\n.\r\n")

// readData reads the content that follows DATA up to CRLF.CRLF, and unstuffs
// it. Commands that were pipelined after it stay in the reader.
func (s *session) readData() error {
	raw := *s.tx.content
	f := s.hit(fault.PhaseMidContent, nil)
	whole := true // raw has all content so far
	for kept := 0; ; {
		s.armIdle()
		if _, err := s.br.Peek(1); err != nil {
			s.ended = true
			return err
		}
		piece, _ := s.br.Peek(s.br.Buffered())
		if pace := s.tx.pace; pace != nil {
			piece = piece[:min(len(piece), slowPiece)]
			if !s.pause(time.Duration(pace.Interval)) {
				return errStruck
			}
		}
		raw = append(raw, piece...)
		if end := findEnd(raw, kept, whole); end >= 0 {
			s.br.Discard(len(piece) - (len(raw) - end))
			*s.tx.content = s.unstuff(raw[:end])
			return nil
		}
		s.br.Discard(len(piece))
		if f != nil && int64(len(raw)) >= f.After {
			if err := s.strikeContent(f); err != nil {
				return err
			}
			f = nil
		}
		if limit := s.offer.size; limit > 0 && int64(len(raw)) > limit+limit/8+1024 {
			s.tx.overflow = true // even without its stuffing
		}
		if s.tx.overflow || s.tx.spoiled { // only the end matters now
			raw = append(raw[:0], raw[max(0, len(raw)-len(endOfData)+1):]...)
			whole = false
		}
		kept = len(raw)
	}
}

// findEnd returns the index after the end of data in raw, or -1. The first kept
// bytes were searched before. If raw is whole, its first line may be the end.
func findEnd(raw []byte, kept int, whole bool) int {
	if whole && kept < 3 && bytes.HasPrefix(raw, endOfData[2:]) {
		return 3
	}
	from := max(0, kept-len(endOfData)+1)
	if i := bytes.Index(raw[from:], endOfData); i >= 0 {
		return from + i + len(endOfData)
	}
	return -1
}

// unstuff removes the end of data and the dots that were put before leading dots
// (RFC 5321 section 4.5.2), in place. It notes violations.
func (s *session) unstuff(raw []byte) []byte {
	raw = raw[:len(raw)-3] // the dot and its CRLF
	if s.tx.overflow || s.tx.spoiled {
		return raw[:0]
	}
	if n := bytes.Count(raw, []byte("\r\n")); bytes.Count(raw, []byte("\n")) != n || bytes.Count(raw, []byte("\r")) != n {
		s.violation(ViolationContentLineEnd)
	}
	out := raw[:0]
	for rest := raw; ; {
		if len(rest) > 0 && rest[0] == '.' {
			if len(rest) < 2 || rest[1] != '.' {
				s.violation(ViolationUnstuffedDot)
			}
			rest = rest[1:]
		}
		i := bytes.Index(rest, []byte("\r\n.")) // a bare LF starts no line
		if i < 0 {
			out = append(out, rest...)
			break
		}
		out = append(out, rest[:i+2]...)
		rest = rest[i+2:]
	}
	if limit := s.offer.size; limit > 0 && int64(len(out)) > limit {
		s.tx.overflow = true
	}
	return out
}
