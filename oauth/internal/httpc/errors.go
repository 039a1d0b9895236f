package httpc

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/valyala/fasthttp"
)

// Errors of a Transport. ErrConnect wraps failures of dialing and of TLS with their
// cause, which is ErrNoIPv6 if only IPv6 would help, ErrCAFile is wrapped with the reason;
// the others stand for errors that may quote what was received. After the end of a context
// the error is the context's.
var (
	ErrURL            = errors.New("the token URL must be https with a host and without user information; http is for loopback only")
	ErrCAFile         = errors.New("the file of certificate authorities cannot be used")
	ErrProxyURL       = errors.New("the proxy URL must be http:// or https:// with a host and nothing behind it")
	ErrProxyAuth      = errors.New("the HTTP proxy wants another user name or password")
	ErrProxy          = errors.New("the HTTP proxy did not connect us")
	ErrConnect        = errors.New("cannot connect")
	ErrNoIPv6         = errors.New("the host has an IPv6 address, and this host has no way to it")
	ErrConnectionLost = errors.New("the connection was lost before the reply was complete")
	ErrMalformedReply = errors.New("the reply is malformed or has no access token")
	ErrReplyTooLarge  = errors.New("the reply is too large")
)

// lacksIPv6 reports whether err, of a connection, is one that systems without IPv6 give for
// an IPv6 address. Those that have IPv4 too were tried over it first (RFC 6724 section 6).
func lacksIPv6(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok {
		return false
	}
	to, ok := op.Addr.(*net.TCPAddr)
	return ok && to.IP.To4() == nil &&
		(errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT))
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// connectionError is for failures before the first octet of a reply.
func connectionError(err error) error {
	if isTimeout(err) {
		return err
	}
	return ErrConnectionLost
}

// replyError is for failures within a reply. fasthttp's errors may quote what
// was received, so they are replaced.
func replyError(err error) error {
	switch {
	case isTimeout(err):
		return err
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return ErrReplyTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return ErrConnectionLost
	}
	return ErrMalformedReply
}
