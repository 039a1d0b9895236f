package failure

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

func TestClientReply(t *testing.T) {
	refused := func(p throttle.Phase, code int, e codec.EnhancedCode) *Error {
		return &Error{Phase: p, Reply: codec.Reply{Code: code, Enhanced: e, Text: "text"}, Err: ErrRefused}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"queue full", ErrQueueFull, "451 4.3.2"},
		{"closed", ErrClosed, "451 4.3.2"},
		{"busy", &Error{Phase: throttle.PhaseQueue, Err: ErrBusy}, "451 4.4.5"},
		{"expired", ErrTransactionExpired, "451 4.4.2"},
		{"over", errors.Join(refused(throttle.PhaseRcpt, 550, codec.EnhancedCode{5, 1, 1}), ErrTransactionExpired), "550 5.1.1"},
		{"anything else", errors.New("what?"), "451 4.3.0"},
		{"DNS", &Error{Phase: throttle.PhaseConnect, Err: &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}}}, "451 4.4.4"},
		{"connect", &Error{Phase: throttle.PhaseConnect, Err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}}, "451 4.4.1"},
		{"certificate", &Error{Phase: throttle.PhaseTLS, Err: x509.HostnameError{Host: "h", Certificate: &x509.Certificate{}}}, "451 4.7.5"},
		{"TLS ends", &Error{Phase: throttle.PhaseTLS, Err: io.EOF}, "451 4.7.5"},
		{"greeting", refused(throttle.PhaseGreeting, 554, codec.EnhancedCode{}), "451 4.4.1"},
		{"EHLO", refused(throttle.PhaseEHLO, 550, codec.EnhancedCode{5, 7, 1}), "451 4.4.1"},
		{"AUTH, transient", refused(throttle.PhaseAuth, 454, codec.EnhancedCode{4, 7, 0}), "454 4.7.0"},
		{"AUTH, permanent", refused(throttle.PhaseAuth, 535, codec.EnhancedCode{5, 7, 8}), "451 4.7.0"},
		{"AUTH, permanent, with status", &Error{Phase: throttle.PhaseAuth, Reply: codec.Reply{Code: 535}, Err: fmt.Errorf("%w (status 401)", ErrRefused)}, "451 4.7.0"},
		{"AUTH, connection ends", &Error{Phase: throttle.PhaseAuth, Err: io.EOF}, "451 4.4.1"},
		{"token, transient", &Error{Phase: throttle.PhaseToken, Err: &oauth.Error{Class: oauth.ClassUnavailable}}, "454 4.7.0"},
		{"token, permanent", &Error{Phase: throttle.PhaseToken, Err: &oauth.Error{Class: oauth.ClassInvalidGrant}}, "451 4.7.0"},
		{"token, unknown", &Error{Phase: throttle.PhaseToken, Err: context.DeadlineExceeded}, "454 4.7.0"},
		{"MAIL refused", refused(throttle.PhaseMail, 550, codec.EnhancedCode{5, 7, 60}), "550 5.7.60"},
		{"RCPT deferred", refused(throttle.PhaseRcpt, 450, codec.EnhancedCode{4, 2, 1}), "450 4.2.1"},
		{"closing", refused(throttle.PhaseMail, 421, codec.EnhancedCode{4, 7, 0}), "421 4.7.0"},
		{"lost", &Error{Phase: throttle.PhaseFinal, Err: io.EOF}, "451 4.4.2"},
		{"timeout", &Error{Phase: throttle.PhaseFinal, Err: os.ErrDeadlineExceeded}, "451 4.4.2"},
		{"garbage", &Error{Phase: throttle.PhaseFinal, Err: fmt.Errorf("%w: %w", ErrProtocol, codec.ErrReplySyntax)}, "451 4.5.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := ClientReply(tt.err)
			if got := fmt.Sprint(r.Code, " ", r.Enhanced); got != tt.want {
				t.Errorf("reply %v, want %s", r, tt.want)
			}
			if r.Text == "" || strings.ContainsAny(r.Text, "\r\n") {
				t.Errorf("text %q", r.Text)
			}
		})
	}
}

func TestCut(t *testing.T) {
	if got, want := smtpclient.Cut("a\r\n\x00\u00e4 b"), "a???? b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := smtpclient.Cut(strings.Repeat("x", 200+1)), strings.Repeat("x", 200)+"..."; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
