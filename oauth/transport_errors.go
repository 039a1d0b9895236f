package oauth

import (
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/valyala/fasthttp"
)

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// connectionError is for failures before the first octet of a reply.
func connectionError(err error) error {
	if isTimeout(err) {
		return err
	}
	return errConnectionLost
}

// replyError is for failures within a reply. fasthttp's errors may quote what
// was received, so they are replaced.
func replyError(err error) error {
	switch {
	case isTimeout(err):
		return err
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return errReplyTooLarge
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return errConnectionLost
	}
	return errMalformedReply
}
