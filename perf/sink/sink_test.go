package sink

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit"
)

// startSink starts a sink and returns it with the client's side of TLS.
func startSink(t *testing.T) (*sink, *tls.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	s, err := start(file, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return s, testkit.Trusting(pem, "localhost")
}

// TestSink sends through both ports with the standard library's client.
func TestSink(t *testing.T) {
	s, trusting := startSink(t)
	for _, encrypted := range []bool{false, true} {
		addr := s.addresses.Plain
		if encrypted {
			addr = s.addresses.TLS
		}
		c, err := smtp.Dial(addr)
		if err != nil {
			t.Fatal(err)
		}
		if encrypted {
			if err := c.StartTLS(trusting); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Auth(smtp.PlainAuth("", "user", "password", "127.0.0.1")); err != nil {
			t.Fatal(err)
		}
		for _, content := range []string{"", "one line\r\n", ".dot\r\n..\r\n", strings.Repeat("a long message\r\n", 10000)} {
			if err := testkit.Submit(c, "a@example.com", []string{"b@example.com"}, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
	}
	if _, got := testkit.Ask(t, nil, "GET", "http://"+s.addresses.HTTP+"/count", ""); got != "8\n" {
		t.Errorf("%q messages, want 8", got)
	}
	if _, got := testkit.Ask(t, nil, "POST", "http://"+s.addresses.HTTP+"/token", "grant_type=refresh_token", "Content-Type", "application/x-www-form-urlencoded"); !strings.Contains(got, `"access_token"`) {
		t.Errorf("token answer %q", got)
	}
}

// TestSinkPipelined: for every cut of the input into two segments the replies
// are the same.
func TestSinkPipelined(t *testing.T) {
	s, _ := startSink(t)
	dialogue := "EHLO x\r\nAUTH XOAUTH2 dG9rZW4=\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 5 LAST\r\n12\r\n3" +
		"MAIL FROM:<a@b>\r\nBDAT 2\r\n12BDAT 0 LAST\r\nDATA\r\n.\r\nDATA\r\na\r\n.\r\nBOGUS\r\nQUIT\r\n"
	want := []int{220, 250, 235, 250, 250, 250, 250, 250, 250, 354, 250, 354, 250, 500, 221}
	for cut := range len(dialogue) {
		conn, err := net.Dial("tcp", s.addresses.Plain)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, dialogue[:cut])
		io.WriteString(conn, dialogue[cut:])
		text := textproto.NewReader(bufio.NewReader(conn))
		for i, code := range want {
			if got, _, err := text.ReadResponse(0); err != nil || got != code {
				t.Fatalf("cut at %d, reply %d: %d, %v, want %d", cut, i, got, err, code)
			}
		}
		conn.Close()
	}
	if got, want := fmt.Sprint(s.messages.Load()), fmt.Sprint(4*len(dialogue)); got != want {
		t.Errorf("%s messages, want %s", got, want)
	}
}
