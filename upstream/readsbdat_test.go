package upstream

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/codec"
)

// reader is a provider that announces CHUNKING, does not know BDAT, and reads the content
// after it as commands. It refuses BDAT at once, and carries the rest out without a word.
type reader struct {
	*stub
	mu    sync.Mutex
	taken []string // guarded by mu
}

func newReader(t testing.TB) *reader {
	s := new(reader)
	s.stub = newStub(t, s.serve)
	return s
}

func (s *reader) serve(c *tls.Conn) {
	if !logIn(c, offerBDAT) {
		return
	}
	in, silent := bufio.NewReader(c), false
	answer := func(reply string) {
		if !silent {
			say(c, reply+"\r\n")
		}
	}
	for {
		line, err := in.ReadString('\n')
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " ")
		switch {
		case err != nil:
			return
		case verb == "BDAT":
			answer("500 5.5.2 what")
			silent = true
		case verb == "DATA":
			answer("354 go")
			if s.take(in) != nil {
				return
			}
			answer("250 2.0.0 taken")
		case slices.Contains([]string{"MAIL", "RCPT", "RSET", "QUIT"}, verb):
			answer("250 2.0.0 OK")
		default:
			answer("500 5.5.2 what")
		}
	}
}

// take reads content to its end, and takes it.
func (s *reader) take(in *bufio.Reader) error {
	var content strings.Builder
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == ".\r\n" {
			break
		}
		content.WriteString(line)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = append(s.taken, content.String())
	return nil
}

// TestContentIsReadAsCommands: a provider that does not know BDAT may take a part of the
// content for a message. Then its refusal of BDAT proves nothing: the message may have been
// taken, and is not sent again. Other content goes by DATA, once.
func TestContentIsReadAsCommands(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		part       string // that the provider takes, and that it may have
		may        bool
	}{
		{"text", "Subject: x\r\n\r\nhello\r\n", "", false},
		{"like commands", "DATABASE\r\nmy DATA\r\nDAT\r\nMAIL\r\nRCPT TO:<b@x.test>\r\nBDATA 1\r\nDATA: x\r\n", "", false},
		{"DATA", "Subject: a\r\nDATA\r\nSubject: b\r\n.\r\nmore\r\n", "Subject: b\r\n", true},
		{"in lower case, with more", "Subject: a\r\n\r\ndata follows\r\nhi\r\n.\r\n", "hi\r\n", true},
		{"after blanks", "Subject: a\r\n\t Data\t\r\nhi\r\n.\r\n", "hi\r\n", true},
		{"a message", "RSET\r\nMAIL FROM:<e@x.test>\r\nRCPT TO:<o@x.test>\r\nDATA\r\nevil\r\n.\r\n", "evil\r\n", true},
		{"DATA without an end", "DATA\r\nhi\r\n", "", true},
		{"BDAT", "BDAT 5 LAST\r\nhi\r\n", "", true},
		{"BURL", "BURL imap://x.test LAST\r\n", "", true},
		{"in the last line", "hi\r\ndata", "", true},
	} {
		for _, rcpts := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s/%d", tt.name, rcpts), func(t *testing.T) {
				t.Parallel()
				f, s := newFixture(t, nil), newReader(t)
				a := s.account(f.accounts[0])
				send := func(text string) (told codec.Reply) {
					if rcpts == 2 {
						return f.toBoth(a, text)
					}
					res := f.send(a, "to@x.test", text)
					if res.Reply.Code == 451 && !res.Err.MaybeAccepted() {
						t.Errorf("error %v", res.Err)
					}
					return res.Reply
				}
				want, retries := []string{tt.text}, "1"
				told := send(tt.text)
				switch {
				case !tt.may:
					if told.Code != 250 {
						t.Errorf("told %v", told)
					}
				case code(told) != "451 4.5.0" || !strings.Contains(told.Text, "as DATA"):
					t.Errorf("told %v", told)
				default:
					want, retries = nil, "0"
					if tt.part != "" {
						want = []string{tt.part}
					}
				}
				if n := f.metric("upstream_retries_total"); n != retries {
					t.Errorf("%s retries, want %s", n, retries)
				}
				if told := send("next\r\n"); told.Code != 250 {
					t.Errorf("the next message is told %v", told)
				}
				f.close()
				s.wait()
				want = append(want, "next\r\n")
				slices.Sort(want)
				if slices.Sort(s.taken); !slices.Equal(s.taken, want) {
					t.Errorf("taken: %q, want %q", s.taken, want)
				}
			})
		}
	}
}
