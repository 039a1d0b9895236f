package flow

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"syscall"

	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/httpc"
)

// Causes of failures, beside those of httpc. Only their texts are shown: the original
// errors may quote what was received.
var (
	errLookup         = errors.New("DNS look-up failed")
	errTLS            = errors.New("TLS handshake failed")
	errUntrusted      = errors.New("the certificate is signed by an unknown authority")
	errHostname       = errors.New("the certificate is for another host")
	errCertificate    = errors.New("the certificate is not valid")
	errPrivateKey     = errors.New("the private key cannot be used: it must be an unencrypted key in PEM form")
	errCertificateKey = errors.New("the certificate must be in PEM form and belong to the private key")
	errKeyKind        = errors.New("the private key must be one of RSA or of ECDSA with the curve P-256")
	errFlow           = errors.New("there is no such flow")
	errTokenType      = errors.New("the token is not of the type Bearer")
)

// Local classifies a failure without an answer from the endpoint. All are
// passing, except what we refuse ourselves.
func Local(err error) *Error {
	e := &Error{Err: localCause(err)}
	switch {
	case errors.Is(e.Err, httpc.ErrURL):
		e.Class, e.Hint = ClassMisconfigured, hint.TokenURLWrong
	case errors.Is(e.Err, errUntrusted):
		e.Hint = hint.TokenCAMissing
	case errors.Is(e.Err, httpc.ErrCAFile):
		e.Hint = hint.TokenCAFile
	case errors.Is(e.Err, httpc.ErrProxyURL):
		e.Class, e.Hint = ClassMisconfigured, hint.TokenProxyURL
	case errors.Is(e.Err, httpc.ErrProxyAuth):
		e.Hint = hint.TokenProxyAuth
	case errors.Is(e.Err, httpc.ErrProxy):
		e.Hint = hint.TokenProxyRefuses
	case errors.Is(e.Err, httpc.ErrNoIPv6):
		e.Hint = hint.TokenNoIPv6
	case errors.Is(e.Err, errPrivateKey), errors.Is(e.Err, errCertificateKey), errors.Is(e.Err, errKeyKind):
		e.Class, e.Hint = ClassMisconfigured, hint.ClientKeys
	case errors.Is(e.Err, errFlow):
		e.Class, e.Hint = ClassMisconfigured, hint.FlowUnknown
	case errors.Is(e.Err, httpc.ErrMalformedReply), errors.Is(e.Err, errTokenType):
		e.Hint = hint.NotTokenEndpoint
	}
	return e
}

// localCause returns the part of err that is safe and short enough to show.
func localCause(err error) error {
	for _, own := range []error{
		httpc.ErrURL, httpc.ErrCAFile, httpc.ErrProxyURL, httpc.ErrProxyAuth, httpc.ErrProxy,
		errPrivateKey, errCertificateKey, errKeyKind, errFlow, errTokenType,
		httpc.ErrNoIPv6, httpc.ErrReplyTooLarge, httpc.ErrMalformedReply, httpc.ErrConnectionLost, context.Canceled,
	} {
		if errors.Is(err, own) {
			return own
		}
	}
	var (
		netErr    net.Error
		dnsErr    *net.DNSError
		errno     syscall.Errno
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		request   *url.Error // http.Client wraps all errors of the transport
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &netErr) && netErr.Timeout():
		return context.DeadlineExceeded
	case errors.As(err, &dnsErr):
		return errLookup
	case errors.As(err, &authority):
		return errUntrusted
	case errors.As(err, &hostname):
		return errHostname
	case errors.As(err, &invalid), errors.As(err, &verify):
		return errCertificate
	case errors.As(err, &record), errors.As(err, &alert):
		return errTLS
	case errors.As(err, &errno):
		return errno
	case errors.As(err, &request):
		return httpc.ErrConnect
	}
	return httpc.ErrMalformedReply // what x/oauth2 says of a reply that it cannot read
}
