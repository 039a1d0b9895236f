package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream/internal/throttle"
)

// connect opens a connection of a up to the provider's 235. A token that
// was there before and that the provider refuses is replaced once, on another
// connection.
func (w *worker) connect(a *account.Account) (*conn, *Error) {
	r := w.relay
	w.logins = 0
	src := r.tokens.Source(a)
	began := time.Now()
	tok := src.Cached()
	if tok == nil {
		var err *Error
		if tok, err = w.token(src); err != nil {
			return nil, err
		}
	}
	c, err := w.login(a, tok)
	if err == nil || !tokenRefused(err) {
		return c, err
	}
	src.Invalidate(tok)
	if !tok.Issued().Before(began) { // another one would be no better
		return nil, err
	}
	fresh, terr := w.token(src)
	switch {
	case terr == nil:
	case errors.Is(terr, oauth.ErrTokenRefused): // the provider's own words say more
		return nil, err
	default:
		return nil, terr
	}
	if c, err = w.login(a, fresh); err != nil && tokenRefused(err) {
		src.Invalidate(fresh)
	}
	return c, err
}

// token gets an access token that is not cached.
func (w *worker) token(src *oauth.Source) (*oauth.Token, *Error) {
	r := w.relay
	ctx, cancel := context.WithTimeout(r.ctx, r.cfg.TokenTimeout)
	defer cancel()
	tok, err := src.Get(ctx)
	if err != nil {
		return nil, &Error{Phase: PhaseToken, Err: err}
	}
	return tok, nil
}

// login opens a connection and logs in with tok.
func (w *worker) login(a *account.Account, tok *oauth.Token) (*conn, *Error) {
	if err := checkResponse(a, tok); err != nil {
		return nil, err
	}
	m := w.relay.metrics
	leave, down := w.relay.enter(a.SMTP)
	if down != nil {
		return nil, &Error{Phase: PhaseConnect, Err: down, upstream: a.SMTP.String()}
	}
	w.logins++
	start := time.Now()
	c, err := w.reach(a, leave)
	if err == nil {
		authStart := time.Now()
		if err = w.auth(c, tok); err == nil && w.in.buffered() {
			err = w.overheard(c)
		}
		m.authDuration.Update(time.Since(authStart).Seconds())
		if err != nil {
			c.leave(w.relay.cfg.QuitTimeout)
		}
	}
	m.countLogin(err)
	if err != nil {
		err.upstream, err.provider = a.SMTP.String(), throttle.ProviderOf(a)
		return nil, err
	}
	loop.Reclaim(c.tls) // what the handshake needed
	c.born = time.Now()
	c.lastUsed = c.born
	m.phase(phaseSetup, c.born.Sub(start))
	return c, nil
}

// reach is dialAndGreet for the breaker of the endpoint, which is told what came of
// it after a panic too: one that waits for the end of a try lets no other begin.
func (w *worker) reach(a *account.Account, leave func(*Error)) (c *conn, err *Error) {
	err = &Error{Phase: PhaseConnect, Err: errOwnFault}
	defer func() { leave(err) }()
	return w.dialAndGreet(a)
}

// overheard returns what the upstream says behind the reply of success to AUTH, which
// is why the connection is of no use.
func (w *worker) overheard(c *conn) *Error {
	reply, err := w.ask(c, PhaseAuth, nil, w.relay.cfg.LoginTimeout)
	if err == nil {
		err = expect(PhaseAuth, reply, 0)
	}
	return err
}

// dialAndGreet opens a connection up to the EHLO reply under TLS.
func (w *worker) dialAndGreet(a *account.Account) (*conn, *Error) {
	r := w.relay
	tcp, err := r.dialer.Dial(r.ctx, a)
	if err != nil {
		return nil, &Error{Phase: PhaseConnect, Err: err}
	}
	c := &conn{account: a, print: a.ConnectionFingerprint(), peer: a.SMTP.String(), wire: &wire{tcp: tcp}}
	c.rw = c.wire
	w.use(c)
	if err := w.handshake(c); err != nil {
		c.close()
		return nil, err
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		c.close()
		return nil, &Error{Phase: PhaseConnect, Err: err}
	}
	c.raw = raw
	c.initPeek()
	return c, nil
}

// handshake goes from the bare TCP connection to the EHLO reply under TLS.
func (w *worker) handshake(c *conn) *Error {
	cfg := &w.relay.cfg
	if c.account.SMTP.TLS == account.TLSImplicit {
		if err := w.startTLS(c); err != nil {
			return err
		}
	}
	greeting, err := w.ask(c, PhaseGreeting, nil, cfg.GreetingTimeout)
	if err != nil {
		return err
	}
	if err := expect(PhaseGreeting, greeting, 220); err != nil {
		return err
	}
	ehlo := "EHLO " + cfg.EhloName + "\r\n"
	offer, err := w.ehlo(c, ehlo)
	if err != nil || c.tls != nil {
		return err
	}
	if !offersStartTLS(offer) {
		return &Error{Phase: PhaseTLS, Err: fmt.Errorf("%w: STARTTLS is not offered", ErrProtocol)}
	}
	reply, err := w.ask(c, PhaseTLS, []byte("STARTTLS\r\n"), cfg.LoginTimeout)
	if err != nil {
		return err
	}
	if err := expect(PhaseTLS, reply, 220); err != nil {
		return err
	}
	if w.in.buffered() { // came in clear, would be taken for protected (RFC 3207 section 6)
		return &Error{Phase: PhaseTLS, Err: fmt.Errorf("%w: input behind the reply to STARTTLS", ErrProtocol)}
	}
	if err := w.startTLS(c); err != nil {
		return err
	}
	_, err = w.ehlo(c, ehlo) // what was offered in clear does not count
	return err
}

// startTLS does the TLS handshake.
func (w *worker) startTLS(c *conn) *Error {
	r := w.relay
	c.tls = tls.Client(c.wire, r.dialer.TLS(c.account.SMTP.Host))
	c.rw = c.tls
	c.wire.in.on = true
	start := time.Now()
	err := c.setDeadline(start, r.cfg.TLSTimeout)
	if err == nil {
		err = c.tls.HandshakeContext(r.ctx)
	}
	if err != nil {
		return &Error{Phase: PhaseTLS, Err: err}
	}
	r.metrics.phase(phaseTLS, time.Since(start))
	return nil
}

// ehlo sends EHLO and notes what is offered.
func (w *worker) ehlo(c *conn, command string) (codec.Reply, *Error) {
	offer, err := w.ask(c, PhaseEHLO, []byte(command), w.relay.cfg.LoginTimeout)
	if err != nil {
		return offer, err
	}
	if err := expect(PhaseEHLO, offer, 250); err != nil {
		return offer, err
	}
	c.ext, c.size, c.mechanisms = parseOffer(offer.Text)
	return offer, nil
}

// ask sends one command, or nothing, and reads one reply whole.
func (w *worker) ask(c *conn, p Phase, command []byte, timeout time.Duration) (codec.Reply, *Error) {
	err := c.setDeadline(time.Now(), timeout)
	if err == nil && len(command) > 0 {
		_, err = c.rw.Write(command)
	}
	var reply codec.Reply
	if err == nil {
		reply, err = w.in.next(c, true)
	}
	if err != nil {
		return codec.Reply{}, &Error{Phase: p, Err: err}
	}
	return reply, nil
}

// expect returns an error unless the reply has the code.
func expect(p Phase, reply codec.Reply, code int) *Error {
	switch {
	case reply.Code == code:
		return nil
	case reply.Positive():
		return &Error{Phase: p, Reply: reply, Err: ErrProtocol}
	}
	return &Error{Phase: p, Reply: reply, Err: ErrRefused}
}

// parseOffer reads the EHLO keywords: one a line, behind the line with the
// server's name. Unknown ones and strange arguments are passed over.
func parseOffer(text string) (ext codec.Extensions, size int64, offered mechanisms) {
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
		switch keyword {
		case "SIZE":
			ext |= codec.ExtSIZE
			if len(args) > 0 {
				if n, err := strconv.ParseInt(args[0], 10, 64); err == nil && n > 0 {
					size = n
				}
			}
		case "8BITMIME":
			ext |= codec.Ext8BITMIME
		case "SMTPUTF8":
			ext |= codec.ExtSMTPUTF8
		case "DSN":
			ext |= codec.ExtDSN
		case "BINARYMIME":
			ext |= codec.ExtBINARYMIME
		case "CHUNKING":
			ext |= codec.ExtCHUNKING
		case "PIPELINING":
			ext |= codec.ExtPIPELINING
		case "AUTH":
			ext |= codec.ExtAUTH
			for _, mech := range args {
				offered |= mechanismOf(mech)
			}
		}
	}
	return ext, size, offered
}

// offersStartTLS looks for the keyword in an EHLO reply.
func offersStartTLS(offer codec.Reply) bool {
	for line := range strings.SplitSeq(offer.Text, "\n") {
		if strings.EqualFold(strings.TrimSpace(line), "STARTTLS") {
			return true
		}
	}
	return false
}

// loginResult names the outcome of an attempt to connect and log in, for the
// metrics.
func loginResult(err *Error) int {
	switch {
	case err == nil:
		return loginOK
	case err.Phase == PhaseAuth && errors.Is(err.Err, ErrRefused):
		return loginRefused
	case err.Phase == PhaseTLS:
		return loginTLS
	case err.Phase == PhaseConnect:
		return loginConnect
	}
	return loginOther
}
