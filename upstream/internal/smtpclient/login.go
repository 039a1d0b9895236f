package smtpclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/upstream/internal/throttle"
)

// Config are the name in EHLO and the timeouts of connections.
type Config struct {
	EhloName string        // empty: the connection's own address, as a literal
	Greeting time.Duration // for the greeting
	TLS      time.Duration // for the TLS handshake
	Login    time.Duration // for each reply up to that to AUTH
	Command  time.Duration // for each group of commands
	Data     time.Duration // for the reply to DATA
	Content  time.Duration // for each turn of content
	Final    time.Duration // for the reply to the content
	Hold     time.Duration // for what an open exchange waits for
	Quit     time.Duration // for the reply to QUIT, and for the provider to close
}

// Login is a connection until it is logged in: blocking I/O, by one goroutine.
type Login struct {
	// Offer is what the last EHLO reply offers.
	Offer Offer
	// Secure is how long the TLS handshake took, 0 before its end.
	Secure time.Duration

	cfg     *Config
	account *account.Account
	stream  *loop.Stream
	in      replyReader
	secured bool
	detach  func() bool // the end of the context of Open does not close the connection any more
}

// Open goes from a bare TCP connection, which it takes, to the EHLO reply under TLS. On
// an error the connection is closed.
func (cfg *Config) Open(ctx context.Context, tcp *net.TCPConn, a *account.Account, secure *tls.Config) (*Login, *Error) {
	l := &Login{cfg: cfg, account: a, stream: loop.NewStream(tcp)}
	l.detach = context.AfterFunc(ctx, func() { _ = tcp.Close() })
	if err := l.handshake(ctx, secure); err != nil {
		l.Leave(err)
		return nil, err
	}
	return l, nil
}

// handshake goes from the bare TCP connection to the EHLO reply under TLS.
func (l *Login) handshake(ctx context.Context, secure *tls.Config) *Error {
	if l.account.SMTP.TLS == account.TLSImplicit {
		if err := l.startTLS(ctx, secure); err != nil {
			return err
		}
	}
	greeting, err := l.ask(throttle.PhaseGreeting, nil, l.cfg.Greeting)
	if err != nil {
		return err
	}
	if err := expect(throttle.PhaseGreeting, greeting, 220); err != nil {
		return err
	}
	reply, err := l.ehlo()
	if err != nil || l.secured {
		return err
	}
	if !offersStartTLS(reply) {
		return &Error{Phase: throttle.PhaseTLS, Err: fmt.Errorf("%w: STARTTLS is not offered", ErrProtocol)}
	}
	if reply, err = l.ask(throttle.PhaseTLS, []byte("STARTTLS\r\n"), l.cfg.Login); err != nil {
		return err
	}
	if err := expect(throttle.PhaseTLS, reply, 220); err != nil {
		return err
	}
	if l.in.buffered() { // came in clear, would be taken for protected (RFC 3207 section 6)
		return &Error{Phase: throttle.PhaseTLS, Err: fmt.Errorf("%w: input after the reply to STARTTLS", ErrProtocol)}
	}
	if err := l.startTLS(ctx, secure); err != nil {
		return err
	}
	_, err = l.ehlo() // what was offered in clear does not count
	return err
}

// startTLS does the TLS handshake.
func (l *Login) startTLS(ctx context.Context, secure *tls.Config) *Error {
	start := time.Now()
	err := l.stream.SetDeadline(start.Add(l.cfg.TLS))
	if err == nil {
		err = l.stream.StartTLS(ctx, secure)
	}
	if err != nil {
		l.in.broken = true
		return &Error{Phase: throttle.PhaseTLS, Err: err}
	}
	l.Secure, l.secured = time.Since(start), true
	return nil
}

// ehlo sends EHLO and notes what is offered.
func (l *Login) ehlo() (codec.Reply, *Error) {
	name := l.cfg.EhloName
	if name == "" {
		name = addressLiteral(l.stream.LocalAddr())
	}
	reply, err := l.ask(throttle.PhaseEHLO, []byte("EHLO "+name+"\r\n"), l.cfg.Login)
	if err != nil {
		return reply, err
	}
	if err := expect(throttle.PhaseEHLO, reply, 250); err != nil {
		return reply, err
	}
	l.Offer = parseOffer(reply.Text, l.account.Avoid)
	return reply, nil
}

// ask sends one command, or nothing, and reads one reply whole.
func (l *Login) ask(p throttle.Phase, command []byte, timeout time.Duration) (codec.Reply, *Error) {
	err := l.stream.SetDeadline(time.Now().Add(timeout))
	if err == nil && len(command) > 0 {
		_, err = l.stream.Write(command)
	}
	var reply codec.Reply
	if err == nil {
		reply, err = l.in.next(l.stream)
	}
	if err != nil {
		l.in.broken = true
		return codec.Reply{}, &Error{Phase: p, Err: err}
	}
	return reply, nil
}

// expect returns an error unless the reply has the code.
func expect(p throttle.Phase, reply codec.Reply, code int) *Error {
	switch {
	case reply.Code == code:
		return nil
	case reply.Positive():
		return &Error{Phase: p, Reply: reply, Err: ErrProtocol}
	}
	return &Error{Phase: p, Reply: reply, Err: ErrRefused}
}

// Quit says QUIT, waits for the reply for Config.Quit at most, so that the provider does
// not count the connection any more, and closes.
func (l *Login) Quit() {
	_, _ = l.ask(throttle.PhaseFinal, []byte("QUIT\r\n"), l.cfg.Quit)
	l.Close()
}

// maxFarewell is how much of what the peer still says Leave reads, in octets.
const maxFarewell = 1 << 20

// Leave closes a connection whose login ended with err: with QUIT (RFC 5321 section
// 4.1.1.10) where the provider still listens, or else by closing our side and waiting
// a little for the peer to close too. Until then the provider counts the connection, and
// so must we.
func (l *Login) Leave(err *Error) {
	if !l.in.broken && !l.in.buffered() && !throttle.Closes(&err.Reply) {
		l.Quit()
		return
	}
	if l.stream.CloseWrite() == nil && l.stream.SetReadDeadline(time.Now().Add(l.cfg.Quit)) == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(l.stream.TCPConn, maxFarewell))
	}
	l.Close()
}

// Close breaks the connection. It is safe to call it from another goroutine.
func (l *Login) Close() {
	l.detach()
	_ = l.stream.Close()
}

// Adopt has on serve the connection, for life. owner is told by Opened, or by Closed
// alone; on an error it is told nothing, and the connection is closed.
func (l *Login) Adopt(on *loop.Loop, owner Owner, c *Conn) error {
	c.Offer, c.cfg, c.owner, c.loop = l.Offer, l.cfg, owner, on
	l.detach()
	if err := l.stream.SetDeadline(time.Time{}); err != nil {
		return errors.Join(err, l.stream.Close())
	}
	return on.Adopt(l.stream, c)
}

// Offer is what a provider's EHLO reply offers.
type Offer struct {
	codec.Extensions
	// Size is the limit of SIZE in octets, 0 if there is none.
	Size int64
	// OddSize is an argument of SIZE that cannot be meant, and so counts as not announced.
	OddSize    string
	mechanisms mechanisms
}

// parseOffer reads the EHLO keywords: one a line, after the line with the server's
// name. Unknown ones, those to avoid and strange arguments are passed over.
func parseOffer(text string, avoid account.Keywords) (o Offer) {
	_, text, more := strings.Cut(text, "\n")
	for more {
		var line string
		line, text, more = strings.Cut(text, "\n")
		words := strings.Fields(strings.ToUpper(line))
		if len(words) == 0 {
			continue
		}
		keyword, args := words[0], words[1:]
		if mech, ok := strings.CutPrefix(keyword, "AUTH="); ok { // the form of a draft of RFC 2554
			keyword, args = "AUTH", append([]string{mech}, args...)
		}
		if k := account.KeywordOf(keyword); k != 0 && avoid.Has(k) {
			continue
		}
		switch keyword {
		case "SIZE":
			if !o.setSize(args) {
				continue
			}
		case "AUTH":
			for _, mech := range args {
				o.mechanisms |= mechanismOf(mech)
			}
		}
		o.Extensions |= keywords[keyword]
	}
	return o
}

// leastSize is the content that every server must take, in octets (RFC 5321 section
// 4.5.3.1.7).
const leastSize = 64 << 10

// setSize takes the arguments of SIZE (RFC 1870 section 3): none and 0 are no limit. It
// returns false for a limit that cannot be meant.
func (o *Offer) setSize(args []string) bool {
	if len(args) == 0 {
		return true
	}
	n, err := strconv.ParseUint(args[0], 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || n > 0 && n < leastSize {
		o.OddSize = args[0]
		return false
	}
	o.Size = int64(min(n, math.MaxInt64))
	return true
}

// keywords are the extensions that we make use of.
var keywords = map[string]codec.Extensions{
	"SIZE": codec.ExtSIZE, "8BITMIME": codec.Ext8BITMIME, "SMTPUTF8": codec.ExtSMTPUTF8, "DSN": codec.ExtDSN,
	"BINARYMIME": codec.ExtBINARYMIME, "CHUNKING": codec.ExtCHUNKING, "PIPELINING": codec.ExtPIPELINING, "AUTH": codec.ExtAUTH,
}

// offersStartTLS looks for the keyword in an EHLO reply.
func offersStartTLS(reply codec.Reply) bool {
	for line := range strings.SplitSeq(reply.Text, "\n") {
		if strings.EqualFold(strings.TrimSpace(line), "STARTTLS") {
			return true
		}
	}
	return false
}

// replyReader reads replies with blocking I/O.
type replyReader struct {
	buf    []byte // what was read and is not handled yet
	broken bool   // nothing more can be said or read
}

// buffered reports whether there is input after the last reply.
func (r *replyReader) buffered() bool { return len(r.buf) > 0 }

// next returns the next reply.
func (r *replyReader) next(from io.Reader) (codec.Reply, error) {
	for {
		reply, n, err := codec.ParseReply(r.buf)
		if err == nil {
			r.buf = r.buf[n:]
			return reply, nil
		}
		if !errors.Is(err, codec.ErrIncomplete) {
			return codec.Reply{}, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		if err := r.fill(from); err != nil {
			return codec.Reply{}, err
		}
	}
}

// readSize is how much is read at a time, in octets.
const readSize = 2 << 10

// fill reads more, up to a line that may end a reply, or to the length at which a reply is
// too long: less is not worth parsing.
func (r *replyReader) fill(from io.Reader) error {
	looked := 0
	for {
		had := len(r.buf)
		r.buf = append(r.buf, make([]byte, readSize)...)
		n, err := from.Read(r.buf[had:])
		r.buf = r.buf[:had+n]
		ends := false
		if bytes.IndexByte(r.buf[had:], '\n') >= 0 {
			ends, looked = codec.MayEnd(r.buf, looked)
		}
		switch {
		case n > 0 && (ends || len(r.buf) >= codec.MaxReply):
			return nil
		case n > 0:
		case err == nil:
			return io.ErrNoProgress
		default:
			return err
		}
	}
}
