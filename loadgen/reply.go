package main

import "bytes"

// flush sends out, whose reply is read next. Where that saves a system call, it leaves the
// sending to that read.
func (s *session) flush() error {
	if s.turn != nil && len(s.in) == 0 {
		s.unsent = s.out
		return nil
	}
	_, err := s.conn.Write(s.out)
	return err
}

// reply reads one reply. Its lines are borrowed until the next read.
func (s *session) reply() (code int, text []byte, err error) {
	seen := 0 // how much of s.in is whole lines of this reply
	for {
		for {
			i := bytes.IndexByte(s.in[seen:], '\n')
			if i < 0 {
				break
			}
			line := s.in[seen : seen+i+1]
			seen += i + 1
			if code = replyCode(line); code == 0 {
				return 0, nil, errReply
			}
			if line[3] != '-' {
				text, s.in = s.in[:seen], s.in[seen:]
				return code, text, nil
			}
		}
		if err := s.fill(); err != nil {
			return 0, nil, err
		}
	}
}

// fill receives more, and appends it to s.in.
func (s *session) fill() error {
	if len(s.in) == len(s.inBuf) {
		return errReply // no reply of a submission server is so long
	}
	n := copy(s.inBuf[:], s.in)
	m, err := s.receive(s.inBuf[n:])
	s.in = s.inBuf[:n+m]
	if m > 0 {
		return nil
	}
	return err
}

// receive sends what flush has left to it and reads.
func (s *session) receive(p []byte) (int, error) {
	if s.unsent == nil {
		return s.conn.Read(p)
	}
	out := s.unsent
	s.unsent = nil
	return s.turn.take(out, p)
}

// replyCode returns the code of a reply line, 0 if it has none.
func replyCode(line []byte) int {
	if len(line) < 4 {
		return 0
	}
	code := 0
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0
		}
		code = code*10 + int(c-'0')
	}
	return code
}
