package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream"
)

// A dialog file is one session with the real server, line by line:
//
//	# a comment
//	!config max_errors=3 budget=65536   a server of its own, with these limits
//	!fault {"phase": "rcpt", ...}       a rule of the provider's fault script
//	!replay no                          only as written: not in one write
//	LOGIN user                          greeting, EHLO and AUTH PLAIN
//	C: text                             the client sends the line and CRLF
//	C<: octets                          the client sends exactly these octets
//	S: 250 2.1.0 *                      the server's next line; * is anything
//	S...: 250 *                         the server's next reply, its last line
//	CLOSED                              the server has closed
//	MESSAGE user FROM a@b TO c@d e@f    the provider has this message ...
//	PARAMS BODY=8BITMIME                ... with these parameters of MAIL ...
//	| text                              ... and this line and CRLF in it,
//	|< octets                           or exactly these octets
//
// Lines of the client that follow one another are one pipelined group. In C<:
// and |< there are \r, \n, \\, \0 and \xNN, and {{...}} in these, C:, | and MESSAGE:
//
//	{{N*text}}          text N times
//	{{plain user}}      initial response of AUTH PLAIN
//	{{b64 text}}        base64
//
// At the end the provider must have the messages listed, and no others.
type dialog struct {
	name     string
	config   map[string]int64
	faults   []sandbox.Rule
	replay   bool
	steps    []step
	messages []wantMessage
}

// step is what one side does. Only one of the fields is set.
type step struct {
	line   int
	send   []byte
	want   string // pattern of one line
	last   bool   // want is for the last line of a reply
	closed bool
}

type wantMessage struct {
	user, from string
	to         []string
	params     []string
	body       []byte
}

func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/dialogs/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogs", err)
	}
	shared := newStack(t)
	for _, file := range files {
		d := parseDialog(t, file)
		t.Run(d.name, func(t *testing.T) {
			modes := []struct {
				name string
				run  func(*dialog, testing.TB, *stack)
			}{{"lines", (*dialog).runLines}, {"octets", (*dialog).runOctets}, {"whole", (*dialog).runWhole}}
			for _, m := range modes {
				if m.name == "whole" && !d.replay {
					continue
				}
				t.Run(m.name, func(t *testing.T) {
					k := shared
					if d.config != nil || d.faults != nil {
						k = newStack(t, d.option(t))
					}
					if err := k.sandbox.ClearMessages(); err != nil {
						t.Fatal(err)
					}
					m.run(d, t, k)
					d.checkMessages(t, k)
				})
			}
		})
	}
}

// runLines plays the dialog as it is written: each group in one write.
func (d *dialog) runLines(t testing.TB, k *stack) {
	c := k.dial(t)
	for i := 0; i < len(d.steps); i++ {
		if d.steps[i].send == nil {
			d.check(c, d.steps[i])
			continue
		}
		var group []byte
		for ; i < len(d.steps) && d.steps[i].send != nil; i++ {
			group = append(group, d.steps[i].send...)
		}
		i--
		c.Send(string(group))
	}
	d.end(c)
}

// maxOctets is how much of a group is sent octet by octet; what lies between
// its ends goes out in pieces.
const maxOctets = 8 << 10

// runOctets plays the dialog with each octet of the client in its own write.
func (d *dialog) runOctets(t testing.TB, k *stack) {
	c := k.dial(t)
	for _, st := range d.steps {
		if st.send == nil {
			d.check(c, st)
			continue
		}
		for b := st.send; len(b) > 0; {
			n := 1
			if len(st.send) > maxOctets && len(b) > maxOctets/2 && len(st.send)-len(b) > maxOctets/2 {
				n = min(1021, len(b)-maxOctets/2)
			}
			if _, err := c.TCP.Write(b[:n]); err != nil {
				if !d.endsClosed() { // else it may have closed before it heard all
					t.Fatalf("%s:%d: sending: %v", d.name, st.line, err)
				}
				break
			}
			b = b[n:]
		}
	}
	d.end(c)
}

// runWhole sends all that the client has to say in one write before it reads.
func (d *dialog) runWhole(t testing.TB, k *stack) {
	c := k.dial(t)
	var all []byte
	for _, st := range d.steps {
		all = append(all, st.send...)
	}
	c.Send(string(all))
	for _, st := range d.steps {
		if st.send == nil {
			d.check(c, st)
		}
	}
	d.end(c)
}

// check reads what the server is to say or do.
func (d *dialog) check(c *client, st step) {
	c.T.Helper()
	if st.closed {
		c.ExpectEnd()
		return
	}
	for {
		line, err := c.R.ReadString('\n')
		if err != nil {
			c.T.Fatalf("%s:%d: waiting for %q: %v", d.name, st.line, st.want, err)
		}
		text, ok := strings.CutSuffix(line, "\r\n")
		if !ok || strings.ContainsAny(text, "\r\n") {
			c.T.Fatalf("%s:%d: %q does not end in CRLF", d.name, st.line, line)
		}
		if st.last && len(text) > 3 && text[3] == '-' {
			continue
		}
		if !matches(st.want, text) {
			c.T.Fatalf("%s:%d: the server says %q, want %q", d.name, st.line, text, st.want)
		}
		return
	}
}

// end checks that the server has nothing more to say: the next reply is that
// to QUIT.
func (d *dialog) end(c *client) {
	c.T.Helper()
	if d.endsClosed() {
		return
	}
	c.Send("QUIT\r\n")
	got, err := c.Reply()
	if err != nil || !strings.HasPrefix(got, "221 2.0.0 ") {
		c.T.Fatalf("%s: the answer to QUIT at the end is %q (%v): the session is out of step", d.name, got, err)
	}
	c.ExpectEnd()
}

// endsClosed reports whether the server ends the session.
func (d *dialog) endsClosed() bool { return d.steps[len(d.steps)-1].closed }

// matches reports whether s fits a pattern in which * is anything.
func matches(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(s)
}

// checkMessages compares what the provider has with the MESSAGE lines.
func (d *dialog) checkMessages(t testing.TB, k *stack) {
	t.Helper()
	for i, m := range provider.Messages(t, k.sandbox, len(d.messages)) {
		w := d.messages[i]
		checkMessage(t, m, w.from, w.to, string(w.body))
		if m.Account != w.user {
			t.Errorf("message %d went out under %s, want %s", i, m.Account, w.user)
		}
		if w.params != nil && fmt.Sprint(m.Params) != fmt.Sprint(w.params) {
			t.Errorf("message %d has the parameters %q, want %q", i, m.Params, w.params)
		}
	}
	for name, n := range k.sandbox.Stats().Violations {
		if n > 0 {
			t.Errorf("the provider saw %d breaches of protocol: %s", n, name)
		}
	}
}

// option is what the dialog wants of its stack.
func (d *dialog) option(t testing.TB) stackOption {
	return func(cfg *Config, ucfg *upstream.Config, scfg *sandbox.Config) {
		scfg.Faults = d.faults
		for key, n := range d.config {
			switch key {
			case "max_errors":
				cfg.MaxErrors = int(n)
			case "max_size":
				cfg.MaxMessageSize = n
			case "max_recipients":
				cfg.MaxRecipients = int(n)
			case "max_pipelined":
				cfg.MaxPipelined = int(n)
			case "budget":
				cfg.ContentBudget = n
			case "normalise":
				cfg.NormaliseNewlines = n == 1
			case "command_timeout":
				cfg.CommandTimeout = time.Duration(n) * time.Second
			default:
				t.Fatalf("%s: unknown key %q", d.name, key)
			}
		}
	}
}

func parseDialog(t testing.TB, file string) *dialog {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialog{name: strings.TrimSuffix(filepath.Base(file), ".txt"), replay: true}
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		if err := d.parseLine(i+1, line); err != nil {
			t.Fatalf("%s:%d: %v", file, i+1, err)
		}
	}
	if !bytes.HasPrefix(b, []byte("# ")) {
		t.Fatalf("%s: the first line must say which rule it is about", file)
	}
	return d
}

func (d *dialog) parseLine(n int, line string) error {
	key, rest, _ := strings.Cut(line, " ")
	switch key {
	case "", "#":
	case "!config":
		return d.parseConfig(rest)
	case "!fault":
		var r sandbox.Rule
		if err := json.Unmarshal([]byte(rest), &r); err != nil {
			return err
		}
		d.faults = append(d.faults, r)
		return r.Validate()
	case "!replay":
		d.replay = rest != "no"
	case "LOGIN":
		d.steps = append(d.steps, step{line: n, want: "220 *"},
			step{line: n, send: []byte("EHLO client.example.com\r\n")}, step{line: n, want: "250 *", last: true},
			step{line: n, send: []byte("AUTH PLAIN " + testkit.Plain(rest, "any") + "\r\n")}, step{line: n, want: "235 2.7.0 *"})
	case "C:", "C<:":
		b, err := octets(rest, key == "C<:")
		d.steps = append(d.steps, step{line: n, send: b})
		return err
	case "S:", "S...:":
		d.steps = append(d.steps, step{line: n, want: rest, last: key == "S...:"})
	case "CLOSED":
		d.steps = append(d.steps, step{line: n, closed: true})
	case "MESSAGE":
		line, err := octets(rest, false)
		if err != nil {
			return err
		}
		return d.parseMessage(strings.TrimSuffix(string(line), "\r\n"))
	case "PARAMS", "|", "|<":
		if len(d.messages) == 0 {
			return fmt.Errorf("%s without MESSAGE", key)
		}
		m := &d.messages[len(d.messages)-1]
		if key == "PARAMS" {
			m.params = strings.Fields(rest)
			return nil
		}
		b, err := octets(rest, key == "|<")
		m.body = append(m.body, b...)
		return err
	default:
		return fmt.Errorf("%q means nothing", key)
	}
	return nil
}

func (d *dialog) parseConfig(s string) error {
	d.config = map[string]int64{}
	for word := range strings.FieldsSeq(s) {
		key, value, _ := strings.Cut(word, "=")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return err
		}
		d.config[key] = n
	}
	return nil
}

func (d *dialog) parseMessage(s string) error {
	user, rest, ok1 := strings.Cut(s, " FROM ")
	from, to, ok2 := strings.Cut(rest, " TO ")
	if !ok1 || !ok2 {
		return fmt.Errorf("MESSAGE needs FROM and TO")
	}
	if from == "<>" {
		from = ""
	}
	d.messages = append(d.messages, wantMessage{user: user, from: from, to: strings.Split(to, " ")})
	return nil
}

var macro = regexp.MustCompile(`\{\{.*?\}\}`)

// octets gives the octets of a C or | line: of one that is raw as it is, else
// with CRLF.
func octets(s string, raw bool) ([]byte, error) {
	var err error
	s = macro.ReplaceAllStringFunc(s, func(m string) string {
		m = m[2 : len(m)-2]
		if user, ok := strings.CutPrefix(m, "plain "); ok {
			return testkit.Plain(user, "any")
		}
		if text, ok := strings.CutPrefix(m, "b64 "); ok {
			u, uerr := unescape(text)
			err = uerr
			return string(codec.AppendBase64(nil, u))
		}
		count, text, ok := strings.Cut(m, "*")
		n, cerr := strconv.Atoi(count)
		if !ok || cerr != nil {
			err = fmt.Errorf("{{%s}} means nothing", m)
		}
		return strings.Repeat(text, n)
	})
	if err != nil {
		return nil, err
	}
	if !raw {
		return []byte(s + "\r\n"), nil
	}
	return unescape(s)
}

// unescape replaces \r, \n, \\, \0 and \xNN.
func unescape(s string) ([]byte, error) {
	s = strings.ReplaceAll(s, `\0`, `\x00`)
	u, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	return []byte(u), err
}
