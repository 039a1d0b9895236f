package server

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// oracle follows a session from outside: what the client has sent and what the
// server has answered to it so far tell what its next octets are, a command, a
// line of an AUTH exchange or content, and so how many replies there must be.
// It shares no code with the server.
type oracle struct {
	t    *testing.T
	c    *client
	in   []byte // not used up yet
	more func([]byte)

	commands int      // lines that were commands
	rcpts    int      // accepted in this transaction
	endless  bool     // the last line ends the session
	bdat     []byte   // chunks so far
	bodies   []string // of the messages acknowledged
	counts   []int    // their numbers of recipients
}

// need completes what the fuzzer left incomplete.
func (o *oracle) need(s string) {
	o.in = append(o.in, s...)
	o.more([]byte(s))
}

// reply reads the next reply and gives its code.
func (o *oracle) reply() string {
	r, err := o.c.Reply()
	if err != nil {
		o.t.Fatalf("no reply: %v (%q); before %s", err, r, testkit.Brief(string(o.in)))
	}
	return r[:3]
}

// line takes a line off the input. ok is false when it is none that is run: too
// long, or with a bare CR, LF or NUL in it. One with a bare LF goes on up to CRLF; without
// one within the limit, endless is set.
func (o *oracle) line(limit int) (line string, ok bool) {
	end := bytes.IndexByte(o.in[:min(len(o.in), limit)], '\n')
	if end < 0 && len(o.in) < limit {
		o.need("\r\n")
		return o.line(limit)
	}
	if end < 0 { // the whole line is discarded
		for !bytes.Contains(o.in[limit-1:], []byte("\r\n")) {
			o.need("\r\n")
		}
		o.in = o.in[limit-1+bytes.Index(o.in[limit-1:], []byte("\r\n"))+2:]
		return "", false
	}
	line = string(o.in[:end+1])
	o.in = o.in[end+1:]
	text, ok := strings.CutSuffix(line, "\r\n")
	if !ok {
		if !bytes.Contains(o.in, []byte("\r\n")) {
			o.need("\r\n")
		}
		skip := bytes.Index(o.in, []byte("\r\n")) + 2
		o.endless = end+1+skip > limit
		o.in = o.in[skip:]
	}
	return text, ok && !strings.ContainsAny(text, "\r\x00")
}

// run follows the session to its end.
func (o *oracle) run() {
	for {
		if len(o.in) == 0 {
			o.need("QUIT\r\n")
		}
		if o.command() {
			break
		}
	}
	o.c.ExpectEnd()
}

// command follows one command with all that belongs to it. It reports whether
// the session has ended.
func (o *oracle) command() (ended bool) {
	limit := 2048
	if len(o.in) > 4 && strings.EqualFold(string(o.in[:4]), "AUTH") && (o.in[4] == ' ' || o.in[4] == '\t') {
		limit = 12290
	}
	text, ok := o.line(limit)
	if !ok {
		switch code := o.reply(); code {
		case "421": // a request of HTTP
			o.commands++
			return true
		case "500":
		default:
			o.t.Fatalf("a bad line is answered %s", code)
		}
		return o.toldEndless()
	}
	o.commands++
	verb, args, _ := strings.Cut(strings.TrimRight(strings.ReplaceAll(text, "\t", " "), " "), " ")
	verb = strings.ToUpper(verb)
	if verb == "BDAT" {
		return o.onBDAT(strings.Fields(args))
	}
	code := o.reply()
	if slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}, verb) && code != "421" {
		o.t.Fatalf("%q is answered %s", text, code)
	}
	switch {
	case code == "354":
		o.onContent()
	case code == "334":
		return o.onAuth()
	case code == "221" || code == "421":
		return true
	case code == "554" && verb == "STARTTLS":
		return true
	case code == "250" && verb == "MAIL":
		o.rcpts = 0
	case code[0] == '2' && verb == "RCPT":
		o.rcpts++
	case code == "250" && (verb == "RSET" || verb == "EHLO" || verb == "HELO"):
		o.bdat = nil
	}
	return false
}

// toldEndless reports whether the last line has ended the session, and reads the reply
// that says so.
func (o *oracle) toldEndless() bool {
	if o.endless && o.reply() != "421" {
		o.t.Fatal("a line without CRLF does not end the session")
	}
	return o.endless
}

// onAuth follows an AUTH exchange.
func (o *oracle) onAuth() (ended bool) {
	for {
		if len(o.in) == 0 {
			o.need("*\r\n")
		}
		o.line(12290)
		if code := o.reply(); code != "334" {
			return code == "421" || o.toldEndless()
		}
	}
}

// onContent follows DATA: up to CRLF.CRLF, and one reply.
func (o *oracle) onContent() {
	var end int
	for {
		if bytes.HasPrefix(o.in, []byte(".\r\n")) {
			end = 3
			break
		}
		if i := bytes.Index(o.in, []byte("\r\n.\r\n")); i >= 0 {
			end = i + 5
			break
		}
		o.need("\r\n.\r\n")
	}
	body := string(o.in[:end-3])
	o.in = o.in[end:]
	bare := strings.ContainsAny(strings.ReplaceAll(body, "\r\n", ""), "\r\n")
	code := o.reply()
	if bare && code[0] != '5' {
		o.t.Fatalf("content with bare line ends is answered %s: %s", code, testkit.Brief(body))
	}
	if code == "250" {
		body = strings.TrimPrefix(strings.ReplaceAll("\r\n"+body, "\r\n.", "\r\n"), "\r\n")
		o.acknowledged(body)
	}
}

func (o *oracle) acknowledged(body string) {
	o.bodies = append(o.bodies, body)
	o.counts = append(o.counts, o.rcpts)
}

// onBDAT follows a chunk: its octets, and one reply.
func (o *oracle) onBDAT(args []string) (ended bool) {
	size, err := int64(0), error(nil)
	last := len(args) == 2 && strings.EqualFold(args[1], "LAST")
	if len(args) > 0 {
		size, err = strconv.ParseInt(args[0], 10, 64)
	}
	if len(args) == 0 || len(args) > 2 || err != nil || strings.ContainsAny(args[0], "+-") || len(args) == 2 && !last {
		o.reply() // 501, 554...: the size is not known
		return true
	}
	const most = 1 << 20 // more is not sent
	if size > most {
		o.c.close()
		o.t.Skip("a huge chunk")
	}
	if missing := int(size) - len(o.in); missing > 0 {
		o.need(strings.Repeat("x", missing))
	}
	chunk := o.in[:size]
	o.in = o.in[size:]
	code := o.reply()
	switch {
	case code == "421":
		return true
	case code != "250":
		o.bdat = nil
	default:
		o.bdat = append(o.bdat, chunk...)
		if last {
			o.acknowledged(string(o.bdat))
			o.bdat = nil
		}
	}
	return false
}

// FuzzSession plays octets, cut as the fuzzer likes, to the real server, and
// checks with the oracle: each complete command has exactly one reply; no octet
// of content is a command; the provider has what was acknowledged, octet for
// octet, and nothing else; nothing panics; nothing is left.
func FuzzSession(f *testing.F) {
	const m = "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\n"
	for _, in := range []string{
		m + "DATA\r\ntext\r\n..dot\r\n.\r\n" + m + "RCPT TO:<c@example.com>\r\nDATA\r\n.\r\n",
		m + "BDAT 4\r\n\r\n.\rBDAT 3 LAST\r\n\nab" + m + "BDAT 0 LAST\r\n",
		m + "DATA\r\nx\n.\nMAIL FROM:<evil@example.com>\r\n.\r\nNOOP\r\n",
		m + "DATA\r\nx\r.\r\r\n.\n\r\n.\rQUIT\r\n.\r\n",
		"BDAT 5\r\nQUIT\r\nDATA\r\nEXPN\r\nVRFY x\r\nHELP\r\nSTARTTLS\r\n",
		"NOOP\nNOOP\r\nNO\x00OP\r\n\r\n\r\r\n" + strings.Repeat("long", 800) + "\r\r\nNOOP\r\n",
		"RSET\r\nEHLO x\r\nAUTH LOGIN\r\n" + m + "RCPT TO:<>\r\nRCPT TO:<x@[1.2.3.4]>\r\nDATA now\r\nRSET\r\n",
		"MAIL FROM:<\xc3\xbc@example.com> SMTPUTF8 SIZE=10 BODY=8BITMIME\r\nRCPT TO:<\"q q\"@example.com>\r\nDATA\r\n\xff\r\n.\r\n",
		"QUIT\r\nNOOP\r\n", "AUTH PLAIN\r\n*\r\nAUTH PLAIN =\r\nAUTH LOGIN YQ==\r\nYQ==\r\n",
	} {
		f.Add([]byte(in), []byte{}, true)
		f.Add([]byte(in), []byte{1}, true)
		f.Add([]byte(in), []byte{7, 3, 50}, false)
	}
	k := newStack(f, func(cfg *Config, _ *upstream.Config, _ *sandbox.Config) {
		cfg.MaxErrors, cfg.MaxPipelined, cfg.Loops = 1<<30, 4<<20, 1
		cfg.Failures.Free, cfg.Failures.Limit = 1<<20, 1<<20 // a fuzzer guesses without end
	})
	f.Fuzz(func(t *testing.T, in, cuts []byte, login bool) {
		if len(in) > 64<<10 {
			t.Skip("too long")
		}
		if err := k.sandbox.ClearMessages(); err != nil {
			t.Fatal(err)
		}
		count := func() (n uint64) {
			for v := range codec.NumVerbs {
				n += k.metrics.Commands[v].Get()
			}
			return n
		}
		c := k.dial(t)
		before := count()
		o := &oracle{t: t, c: c}
		if login {
			c.Expect("220")
			hello := "EHLO client.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n"
			in = append([]byte(hello), in...)
		} else {
			c.Expect("220")
		}
		o.in = slices.Clone(in)
		completions := make(chan []byte, 64)
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := 0; len(in) > 0; i++ {
				n := len(in)
				if len(cuts) > 0 {
					n = min(n, 1+int(cuts[i%len(cuts)]))
				}
				_, _ = c.TCP.Write(in[:n]) // fails when the session has ended before
				in = in[n:]
			}
			for b := range completions {
				_, _ = c.TCP.Write(b)
			}
		}()
		o.more = func(b []byte) { completions <- b }
		defer func() { close(completions); c.TCP.Close(); <-written }()
		o.run()

		got := provider.Messages(t, k.sandbox, len(o.bodies))
		for i, msg := range got {
			if string(msg.Body) != o.bodies[i] || len(msg.Recipients) != o.counts[i] {
				t.Fatalf("message %d: the provider has %s for %d recipients, acknowledged was %s for %d",
					i, testkit.Brief(string(msg.Body)), len(msg.Recipients), testkit.Brief(o.bodies[i]), o.counts[i])
			}
		}
		if n := count() - before; n != uint64(o.commands) {
			t.Fatalf("the server ran %d commands, the client sent %d", n, o.commands)
		}
		if n := k.metrics.Panics.Get(); n != 0 {
			t.Fatalf("%d panics", n)
		}
		testkit.Eventually(t, "nothing is left", func() bool { return k.budget.Used() == 0 })
	})
}
