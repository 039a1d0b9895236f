package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// A testServer is a submission server and its sandbox in one: it
// takes messages and gives account of them over HTTP. It parses with the
// standard library, apart from the code under test.
type testServer struct {
	keywords []string
	// override returns the reply to a command line instead of the usual one:
	// "" is the usual one, "close" ends the connection without a reply.
	override func(line string) string
	// atEnd returns the reply to the end of the content of message number
	// instead of a positive one; "close" ends the connection. In both cases
	// the message is not delivered.
	atEnd func(number int) string
	// tamper changes a delivered message, or drops it (nil).
	tamper func(number int, d testDelivery) []testDelivery
	// tls is offered by STARTTLS, or begins each connection if implicit is set.
	tls      *tls.Config
	implicit bool

	addr, url string

	mu          sync.Mutex // guards what follows
	delivered   []testDelivery
	messages    int
	logins      map[string]int
	connections int
}

// A testDelivery is one message as delivered.
type testDelivery struct {
	account string
	rcpts   int
	content []byte
	verb    string
}

// startServer starts s, until the end of the test.
func startServer(t *testing.T, s *testServer) *testServer {
	t.Helper()
	s.logins = make(map[string]int)
	s.addr = testkit.Serve(t, func(_ int, conn net.Conn) { s.serve(conn) })
	web := httptest.NewServer(http.HandlerFunc(s.serveHTTP))
	s.url = web.URL
	t.Cleanup(web.Close)
	return s
}

// serve is one connection.
func (s *testServer) serve(conn net.Conn) {
	defer func() { conn.Close() }() // TLS, if it has begun
	if s.implicit {
		conn = tls.Server(conn, s.tls)
	}
	s.mu.Lock()
	s.connections++
	s.mu.Unlock()
	r := bufio.NewReader(conn)
	text := textproto.NewReader(r)
	say := func(reply string) { io.WriteString(conn, reply+"\r\n") }
	say("220 test")
	var d testDelivery
	mailed := false
	for {
		line, err := text.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		if s.override != nil {
			if reply := s.override(line); reply == "close" {
				return
			} else if reply != "" {
				if verb == "BDAT" {
					io.CopyN(io.Discard, r, bdatSize(line))
				}
				say(reply)
				if strings.HasPrefix(reply, "421") {
					return
				}
				continue
			}
		}
		if verb == "RCPT" && !mailed || verb == "DATA" && d.rcpts == 0 {
			say("503 5.5.1 order")
			continue
		}
		switch verb {
		case "EHLO":
			say("250-test\r\n250-" + strings.Join(append(slices.Clone(s.keywords), "AUTH PLAIN LOGIN", "SIZE"), "\r\n250-") + "\r\n250 HELP")
		case "AUTH":
			d.account = readLogin(line, text, say)
			s.mu.Lock()
			s.logins[d.account]++
			s.mu.Unlock()
			say("235 2.7.0 ok")
		case "STARTTLS":
			say("220 go")
			conn = tls.Server(conn, s.tls)
			r = bufio.NewReader(conn)
			text = textproto.NewReader(r)
		case "MAIL":
			mailed = true
			say("250 2.1.0 ok")
		case "RCPT":
			d.rcpts++
			say("250-2.1.5 two\r\n250 2.1.5 lines")
		case "DATA":
			say("354 go")
			d.content, d.verb = readDotted(r), verb
			reply := s.take(d)
			if reply == "close" {
				return
			}
			say(reply)
			d.rcpts, mailed = 0, false
		case "BDAT":
			d.content, d.verb = make([]byte, bdatSize(line)), verb
			if _, err := io.ReadFull(r, d.content); err != nil {
				return
			}
			reply := s.take(d)
			if reply == "close" {
				return
			}
			say(reply)
			d.rcpts, mailed = 0, false
		case "RSET":
			d.rcpts, mailed = 0, false
			say("250 2.0.0 ok")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// bdatSize returns the size in a BDAT line.
func bdatSize(line string) int64 {
	n, _ := strconv.ParseInt(strings.Fields(line)[1], 10, 64)
	return n
}

// readLogin does AUTH and returns the user name.
func readLogin(line string, text *textproto.Reader, say func(string)) string {
	decode := func(s string) string {
		b, _ := base64.StdEncoding.DecodeString(s)
		return string(b)
	}
	if fields := strings.Fields(line); fields[1] == "PLAIN" {
		return strings.Split(decode(fields[2]), "\x00")[1]
	}
	say("334 VXNlcm5hbWU6")
	user, _ := text.ReadLine()
	say("334 UGFzc3dvcmQ6")
	text.ReadLine()
	return decode(user)
}

// readDotted reads content up to its end, octet for octet.
func readDotted(r *bufio.Reader) []byte {
	var content []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil || string(line) == ".\r\n" {
			return content
		}
		content = append(content, bytes.TrimPrefix(line, []byte("."))...)
	}
}

// take delivers a message and returns the reply.
func (s *testServer) take(d testDelivery) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.messages
	s.messages++
	if s.atEnd != nil {
		if reply := s.atEnd(number); reply != "" {
			return reply
		}
	}
	deliver := []testDelivery{d}
	if s.tamper != nil {
		deliver = s.tamper(number, d)
	}
	s.delivered = append(s.delivered, deliver...)
	return "250 2.0.0 taken"
}

// serveHTTP is the sandbox's API as far as it is used.
func (s *testServer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var answer any = []string{}
	if r.URL.Path == "/messages" {
		var list []delivery
		for i, d := range s.delivered {
			sum := sha256.Sum256(d.content)
			list = append(list, delivery{ID: uint64(i), Account: d.account, SHA256: hex.EncodeToString(sum[:])})
		}
		answer = list
	}
	if run, ok := strings.CutPrefix(r.URL.Path, "/loads/"); ok {
		if len(s.delivered) == 0 {
			http.NotFound(w, r)
			return
		}
		answer = s.ledger(run)
	}
	json.NewEncoder(w).Encode(answer)
}

// ledger gives account of a run.
func (s *testServer) ledger(run string) *ledger {
	l, seen := &ledger{}, make(map[int]bool)
	for _, d := range s.delivered {
		m, err := mail.ReadMessage(bytes.NewReader(d.content))
		if err != nil {
			continue
		}
		name, number, _ := strings.Cut(m.Header.Get("X-Load-Id"), "/")
		seq, err := strconv.Atoi(number)
		if name != run || err != nil {
			continue
		}
		_, body, _ := bytes.Cut(d.content, []byte("\r\n\r\n"))
		if m.Header.Get("X-Load-Sum") != fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)) {
			l.WrongSum++
		}
		if m.Header.Get("X-Load-Account") != d.account {
			l.WrongAccount++
		}
		if seen[seq] {
			l.Duplicates++
			l.DuplicateOf = append(l.DuplicateOf, seq)
		} else {
			l.Delivered = append(l.Delivered, window{seq, seq})
		}
		seen[seq] = true
	}
	return l
}
