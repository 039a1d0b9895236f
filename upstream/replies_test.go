package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/smtpclient"
)

func TestClientReply(t *testing.T) {
	refused := func(p Phase, code int, e codec.EnhancedCode) *Error {
		return &Error{Phase: p, Reply: codec.Reply{Code: code, Enhanced: e, Text: "text"}, Err: ErrRefused}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"queue full", ErrQueueFull, "451 4.3.2"},
		{"closed", ErrClosed, "451 4.3.2"},
		{"busy", &Error{Phase: PhaseQueue, Err: ErrBusy}, "451 4.4.5"},
		{"expired", ErrTransactionExpired, "451 4.4.2"},
		{"over", &overError{refused(PhaseRcpt, 550, codec.EnhancedCode{5, 1, 1})}, "550 5.1.1"},
		{"anything else", errors.New("what?"), "451 4.3.0"},
		{"DNS", &Error{Phase: PhaseConnect, Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}}, "451 4.4.4"},
		{"connect", &Error{Phase: PhaseConnect, Err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}}, "451 4.4.1"},
		{"certificate", &Error{Phase: PhaseTLS, Err: x509.HostnameError{Host: "h", Certificate: &x509.Certificate{}}}, "451 4.7.5"},
		{"TLS ends", &Error{Phase: PhaseTLS, Err: io.EOF}, "451 4.7.5"},
		{"greeting", refused(PhaseGreeting, 554, codec.EnhancedCode{}), "451 4.4.1"},
		{"EHLO", refused(PhaseEHLO, 550, codec.EnhancedCode{5, 7, 1}), "451 4.4.1"},
		{"AUTH, transient", refused(PhaseAuth, 454, codec.EnhancedCode{4, 7, 0}), "454 4.7.0"},
		{"AUTH, permanent", refused(PhaseAuth, 535, codec.EnhancedCode{5, 7, 8}), "451 4.7.0"},
		{"AUTH, permanent, with status", &Error{Phase: PhaseAuth, Reply: codec.Reply{Code: 535}, Err: fmt.Errorf("%w (status 401)", ErrRefused)}, "451 4.7.0"},
		{"AUTH, connection ends", &Error{Phase: PhaseAuth, Err: io.EOF}, "451 4.4.1"},
		{"token, transient", &Error{Phase: PhaseToken, Err: &oauth.Error{Class: oauth.ClassUnavailable}}, "454 4.7.0"},
		{"token, permanent", &Error{Phase: PhaseToken, Err: &oauth.Error{Class: oauth.ClassInvalidGrant}}, "451 4.7.0"},
		{"token, unknown", &Error{Phase: PhaseToken, Err: context.DeadlineExceeded}, "454 4.7.0"},
		{"MAIL refused", refused(PhaseMail, 550, codec.EnhancedCode{5, 7, 60}), "550 5.7.60"},
		{"RCPT deferred", refused(PhaseRcpt, 450, codec.EnhancedCode{4, 2, 1}), "450 4.2.1"},
		{"closing", refused(PhaseMail, 421, codec.EnhancedCode{4, 7, 0}), "421 4.7.0"},
		{"lost", &Error{Phase: PhaseFinal, Err: io.EOF}, "451 4.4.2"},
		{"timeout", &Error{Phase: PhaseFinal, Err: os.ErrDeadlineExceeded}, "451 4.4.2"},
		{"garbage", &Error{Phase: PhaseFinal, Err: fmt.Errorf("%w: %w", ErrProtocol, codec.ErrReplySyntax)}, "451 4.5.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ClientReply(tt.err)
			if got := code(r); got != tt.want {
				t.Errorf("reply %v, want %s", r, tt.want)
			}
			if r.Text == "" || strings.ContainsAny(r.Text, "\r\n") {
				t.Errorf("text %q", r.Text)
			}
		})
	}
}

func TestRepliesNameTheCause(t *testing.T) {
	f := newFixture(t, nil)
	f.sendOK(f.accounts[0], "a\r\n")
	for _, tt := range []struct {
		id         string
		change     func(*account.Account)
		want, text string
	}{
		{"no-name", func(a *account.Account) { a.SMTP.Host = "does-not-exist.invalid" }, "451 4.4.4", "does-not-exist.invalid"},
		{"no-address", func(a *account.Account) { a.SourceIP = netip.MustParseAddr("192.0.2.1") }, "451 4.4.1", "bind: cannot assign requested address"},
		{"closed", func(a *account.Account) { a.SMTP.Port = 1 }, "451 4.4.1", "connection refused"},
	} {
		a := *f.accounts[0]
		a.ID = tt.id
		tt.change(&a)
		res := f.send(&a, "to@example.com", "b\r\n")
		if code(res.Reply) != tt.want || !strings.Contains(res.Reply.Text, tt.text) {
			t.Errorf("%s: reply %v, want %s with %q", tt.id, res.Reply, tt.want, tt.text)
		}
	}
	f.messages(1)
}

func TestSourceAddress(t *testing.T) {
	f := newFixture(t, nil)
	f.accounts[0].SourceIP = netip.MustParseAddr("127.0.0.7")
	f.sendOK(f.accounts[0], "a\r\n")
	f.messages(1)
}

func TestCut(t *testing.T) {
	if got, want := smtpclient.Cut("a\r\n\x00\u00e4 b"), "a???? b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := smtpclient.Cut(strings.Repeat("x", 200+1)), strings.Repeat("x", 200)+"..."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
