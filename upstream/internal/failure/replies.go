package failure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Replies of our own making; ClientReply picks one and may lengthen its text.
var (
	replyConnect     = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 1}, Text: "Cannot connect to the provider", Hint: hint.CannotConnect}
	replyLost        = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 2}, Text: "Connection to the provider lost", Hint: hint.ConnectionLost}
	replyDNS         = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 4}, Text: "Cannot resolve the provider's host name", Hint: hint.DNSFailed}
	replyBusy        = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 5}, Text: "All connections of the account are busy, try again later", Hint: hint.AccountBusy}
	replyQueueFull   = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 2}, Text: "Too many messages are waiting, try again later", Hint: hint.QueueFull}
	replyStuck       = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 0}, Text: "The proxy is stuck where it handles this account and has not sent the message, try again later", Hint: hint.ProxyStuck}
	replyShared      = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 0}, Text: "The store of the shared limits does not answer, try again later", Hint: hint.ShareOutage}
	replyClosed      = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 3, 2}, Text: "Shutting down, try again later", Hint: hint.ShuttingDown}
	replyTLS         = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 5}, Text: "No trustworthy TLS connection to the provider", Hint: hint.TLSFailed}
	replyTempAuth    = codec.Reply{Code: 454, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "Temporary authentication failure at the provider", Hint: hint.LoginFailing}
	replyPermAuth    = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 7, 0}, Text: "The provider refuses the account's login, an operator must act", Hint: hint.LoginRefused}
	replyLoginSyntax = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 5, 2}, Text: "The provider did not understand the login", Hint: hint.LoginForm}
	replyProtocol    = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 5, 0}, Text: "The provider's answer was not understood", Hint: hint.ProtocolError}
	replyExpired     = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 2}, Text: "The transaction took too long, try again", Hint: hint.TransactionExpired}
	replyAbandoned   = codec.Reply{Code: 451, Enhanced: codec.EnhancedCode{4, 4, 2}, Text: "Not sent: the client closed its side while the message waited", Hint: hint.ClientGone}
)

// ClientReply returns what the client is to be told of an error. Its default is 4yz.
func ClientReply(err error) codec.Reply {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.ClientReply()
	}
	return localReply(err)
}

// ClientReply maps phase and cause to the reply for the client. From MAIL on,
// the upstream's refusals are passed on as they are; before it nothing was
// said about the message, so everything is 4yz: an MTA keeps the mail while
// the trouble lasts.
func (e *Error) ClientReply() codec.Reply {
	if e.refusal() {
		if e.Temporary {
			return codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 7, 1}, Text: e.Reply.Text, Hint: e.Verdict().Hint}
		}
		r := e.Reply
		r.Hint = r.Hint.Or(e.Verdict().Hint)
		return r
	}
	r := localReply(e.Err)
	switch {
	case !r.IsZero() && r != codec.ReplyLocalError:
	case e.Phase == throttle.PhaseToken:
		return TokenReply(e.Err, replyTempAuth, replyPermAuth)
	case e.Phase == throttle.PhaseAuth && errors.Is(e.Err, ErrRefused):
		if r = replyPermAuth; e.Reply.Transient() {
			r = replyTempAuth
		}
	case errors.Is(e.Err, ErrLoginSyntax):
		r = replyLoginSyntax
	case errors.Is(e.Err, ErrProtocol):
		r = replyProtocol
	case e.Phase == throttle.PhaseTLS, isTLS(e.Err):
		r = replyTLS
	case e.Phase == throttle.PhaseConnect && isDNS(e.Err):
		r = replyDNS
	case e.Phase < throttle.PhaseMail:
		r = replyConnect
	case isLost(e.Err):
		r = replyLost
	}
	return explain(r, e)
}

// localReply is for what was decided here, without regard to a phase.
func localReply(err error) codec.Reply {
	if e, ok := errors.AsType[*LimitError](err); ok {
		return e.Reply()
	}
	if e, ok := errors.AsType[*stopError](err); ok {
		return e.reply()
	}
	switch {
	case errors.Is(err, ErrQueueFull):
		return replyQueueFull
	case errors.Is(err, ErrClosed):
		return replyClosed
	case errors.Is(err, ErrStuck):
		return replyStuck
	case errors.Is(err, share.ErrOutage):
		return replyShared
	case errors.Is(err, ErrBusy):
		return replyBusy
	case errors.Is(err, ErrAbandoned):
		return replyAbandoned
	case errors.Is(err, ErrTransactionExpired):
		return replyExpired
	}
	return codec.ReplyLocalError
}

// TokenReply tells why there is no access token, by temporary or, if only an operator can
// help, by permanent.
func TokenReply(err error, temporary, permanent codec.Reply) codec.Reply {
	r := temporary
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		if e.Permanent() {
			r = permanent
		}
		r.Text, r.Hint = e.Public(), e.Entry()
	}
	return r
}

// explain adds to a reply of ours what the upstream said or what the system
// reported.
func explain(r codec.Reply, e *Error) codec.Reply {
	if e.Upstream != "" {
		r.Text += " (" + e.Upstream + ")"
	}
	switch {
	case !e.Reply.IsZero():
		if errors.Is(e.Err, ErrRefused) {
			r.Hint = e.Verdict().Hint
		}
		r.Text += ": " + smtpclient.Cut(e.Reply.String())
		if e.Hint != hint.None { // on a line of its own: both together may be too long for one
			r.Text += "\n" + e.Hint.Remedy()
		}
	case errors.Is(e.Err, os.ErrDeadlineExceeded), errors.Is(e.Err, context.DeadlineExceeded):
		r.Text += ": timeout at " + e.Phase.String()
	case e.Phase == throttle.PhaseConnect, e.Phase > throttle.PhaseConnect && !isLost(e.Err):
		r.Text += ": " + smtpclient.Cut(e.Err.Error())
	case e.Phase > throttle.PhaseConnect:
		r.Text += " at " + e.Phase.String()
	}
	r.Hint = e.Hint.Or(r.Hint)
	return r
}

func isDNS(err error) bool {
	_, ok := errors.AsType[*net.DNSError](err)
	return ok
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[tls.AlertError](err)
	return ok
}

// isLost tells the errors of a connection that ended, or that we ended because
// it was silent, from all others.
func isLost(err error) bool {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
