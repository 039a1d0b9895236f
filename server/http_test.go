package server

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
)

// pageBodies are what a web page may put after the header lines of a request to
// have mail sent.
var pageBodies = []struct{ name, text string }{
	{"DATA", "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n"},
	{"BDAT", "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\ntext\r\nQUIT\r\n"},
	{"BDAT first", "BDAT 0 LAST\r\n"},
}

// requestOf is a request as fetch() of a browser sends it, with a dialogue as
// body.
func requestOf(line, body string) string {
	body = "EHLO page.example.com\r\nAUTH PLAIN " + testkit.Plain(gmailUser, "any") + "\r\n" + body
	return line + "\r\nHost: 127.0.0.1:2525\r\nConnection: keep-alive\r\n" + fmt.Sprintf("Content-Length: %d\r\n", len(body)) +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n" +
		"Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nOrigin: https://www.example.com\r\n" +
		"Sec-Fetch-Mode: no-cors\r\nReferer: https://www.example.com/\r\nAccept-Encoding: gzip, deflate, br\r\n\r\n" + body
}

// TestWebPageSendsNothing has requests of HTTP with a whole dialogue in one
// write, at listeners of every kind: 421, the end, nothing carried out, and one
// line in the log with the address of the client.
func TestWebPageSendsNothing(t *testing.T) {
	requests := 0
	k := newStack(t, withTLS(TLSNone, TLSOffered, TLSImplicit, TLSDetect, TLSNone), config(func(cfg *Config) {
		cfg.Listeners[4].ProxyFrom = loopback
	}))
	greeted := func(c *client, _ *tls.Config) { c.Expect("220") }
	lines := []string{"POST / HTTP/1.1", "post / http/1.1", "GET /", "Put /x HTTP/1.1", "HEAD / HTTP/1.0", "OPTIONS * HTTP/1.1", "DELETE /",
		"PATCH / HTTP/1.1", "TRACE / HTTP/1.1", "CONNECT 127.0.0.1:2525 HTTP/1.1", "PRI * HTTP/2.0", "PROPFIND / HTTP/1.1",
		"GET /" + strings.Repeat("x", 5000) + " HTTP/1.1"}
	for _, tt := range []struct {
		name     string
		listener int
		begin    func(*client, *tls.Config)
		before   string // in the same write
		remote   string // in the log; empty: the address of the client
	}{
		{"clear", 0, greeted, "", ""},
		{"after EHLO", 0, greeted, "EHLO page.example.com\r\n", ""},
		{"STARTTLS offered", 1, greeted, "", ""},
		{"after STARTTLS", 1, func(c *client, cfg *tls.Config) { c.starttls(cfg, nil) }, "", ""},
		{"implicit TLS", 2, func(c *client, cfg *tls.Config) { c.secure(cfg, nil); c.Expect("220") }, "", ""},
		{"detected TLS", 3, func(c *client, cfg *tls.Config) { c.secure(cfg, nil); c.Expect("220") }, "", ""},
		{"detected clear", 3, func(*client, *tls.Config) {}, "", ""},
		{"PROXY protocol", 4, func(*client, *tls.Config) {}, "PROXY TCP4 192.0.2.7 198.51.100.1 4021 25\r\n", "192.0.2.7:4021"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, line := range lines {
				for _, body := range pageBodies {
					k.logs.TakeAll()
					c := k.dialAt(t, tt.listener)
					remote := tt.remote
					if remote == "" {
						remote = c.TCP.LocalAddr().String()
					}
					tt.begin(c, clientConfig(tls.VersionTLS13))
					c.Send(tt.before + requestOf(line, body.text))
					if strings.HasPrefix(tt.before, "PROXY") || tt.name == "detected clear" {
						c.Expect("220")
					}
					if strings.HasPrefix(tt.before, "EHLO") {
						c.Expect("250")
					}
					c.Expect("421 4.7.0 This is SMTP")
					c.ExpectEnd()
					if requests++; requests > 40 { // later lines may be left out: there are many at one time
						continue
					}
					testkit.Eventually(t, "the request is logged", func() bool { return k.logs.FilterMessageSnippet("HTTP").Len() > 0 })
					entries := k.logs.FilterMessageSnippet("HTTP").All()
					if len(entries) != 1 || entries[0].ContextMap()["remote"] != remote {
						t.Errorf("%.20s, %s: the log has %v, want one line of %s", line, body.name, entries, remote)
					}
				}
			}
		})
	}
	provider.Messages(t, k.sandbox, 0)
	for _, result := range []string{"success", "refused"} {
		if n := k.back.Metric(t, `auth_attempts_total{result="`+result+`"}`); n != 0 {
			t.Errorf("%v logins: %s", n, result)
		}
	}
}

// TestProbesAreNoHTTP has verbs that are no SMTP and no HTTP: errors like others.
func TestProbesAreNoHTTP(t *testing.T) {
	k := newStack(t)
	c := k.dial(t)
	c.Expect("220")
	for _, line := range []string{"XCLIENT NAME=x", "GETTING /", "Host: x", "HTTP/1.1 200 OK", "TURN"} {
		c.Cmd(line, "500 5.5.1")
	}
	for _, line := range []string{"NOOP / HTTP/1.1", "EHLO page.example.com"} {
		c.Cmd(line, "250")
	}
	c.Cmd("QUIT", "221")
}
