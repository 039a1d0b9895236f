package httpc

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// MaxReply caps the body of a reply. A token is a few kilobytes.
	MaxReply = 1 << 20
	// maxRequest caps the body of a request.
	maxRequest = 1 << 20
	userAgent  = "xoauth2-proxy"
)

// Transport is an http.RoundTripper for token endpoints. Its methods but Close
// are safe for concurrent use. Make one with New, and Close it.
type Transport struct {
	cfg    Config
	roots  *x509.CertPool // nil: the system's
	tlsErr error          // why no TLS connection can be made

	ctx    context.Context // ends when the transport is closed
	cancel context.CancelFunc

	mu    sync.Mutex // guards hosts
	hosts map[hostKey]*host
	// idle closes the parked connections IdleTimeout after the last request.
	// (fasthttp's own cleaner is a goroutine that cannot be stopped, so connections
	// are acquired without it.)
	idle *time.Timer
}

// New returns a transport, which may be one that makes no TLS connection: see
// TLSError.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg, hosts: make(map[hostKey]*host)}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	pool, err := cfg.Roots()
	if err != nil { // fail closed: the system's authorities are not what was asked for
		t.tlsErr = fmt.Errorf("%w: %w", ErrCAFile, err)
	}
	t.roots = pool
	t.idle = time.AfterFunc(cfg.IdleTimeout, t.closeIdle)
	return t
}

// TLSError returns why no host can be reached over https, nil if hosts can.
func (t *Transport) TLSError() error { return t.tlsErr }

// RoundTrip implements http.RoundTripper. It obeys the deadline of the
// request's context and, except while it connects, its cancellation. Of the
// reply's header it passes on Content-Encoding and Retry-After.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if err := checkURL(r.URL); err != nil {
		return nil, err
	}
	if r.URL.Scheme == "https" && t.tlsErr != nil {
		return nil, t.tlsErr
	}
	ctx := r.Context()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.cfg.Timeout)
		defer cancel()
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	fill(req, r, body)
	err = t.send(ctx, t.host(r.URL, t.routeOf(ctx)), req, resp)
	switch {
	case err == nil:
		return httpResponse(r, resp), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case isTimeout(err): // the connection's timer was faster than the context's
		return nil, context.DeadlineExceeded
	}
	return nil, err
}

// fill makes req the request r with that body, which it borrows.
func fill(req *fasthttp.Request, r *http.Request, body []byte) {
	req.URI().DisablePathNormalizing = true
	req.SetRequestURI(r.URL.String())
	req.Header.SetMethod(r.Method)
	req.Header.SetUserAgent(userAgent)
	for _, key := range []string{"Content-Type", "Accept", "Authorization"} {
		if v := r.Header.Get(key); v != "" {
			req.Header.Set(key, v)
		}
	}
	req.SetBodyRaw(body)
}

// send waits for a slot of h and sends req, twice if the first connection was
// stale.
func (t *Transport) send(ctx context.Context, h *host, req *fasthttp.Request, resp *fasthttp.Response) error {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	stale, err := t.exchange(ctx, h.client, req, resp)
	if stale {
		h.client.CloseIdleConnections() // the others are as old
		resp.Reset()
		_, err = t.exchange(ctx, h.client, req, resp)
	}
	t.idle.Reset(t.cfg.IdleTimeout)
	return err
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	return io.ReadAll(io.LimitReader(r.Body, maxRequest))
}

// httpResponse copies the parts of resp that flows read; fasthttp reuses its memory.
func httpResponse(r *http.Request, resp *fasthttp.Response) *http.Response {
	header := make(http.Header)
	for _, key := range []string{"Content-Encoding", "Retry-After"} {
		if v := resp.Header.Peek(key); len(v) > 0 {
			header.Set(key, string(v))
		}
	}
	status := resp.StatusCode()
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(bytes.Clone(resp.Body()))),
		ContentLength: int64(len(resp.Body())),
		Request:       r,
	}
}

// exchange sends req on a parked or new connection and reads the reply. stale
// means that a parked connection ended before any octet of a reply: the request
// was not processed and may be repeated.
func (t *Transport) exchange(
	ctx context.Context, hc *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response,
) (stale bool, err error) {
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	if left <= 0 || ctx.Err() != nil {
		return false, context.DeadlineExceeded
	}
	cc, err := hc.AcquireConn(left, true)
	if err != nil {
		return false, err
	}
	conn, reused := cc.Conn(), !cc.LastUseTime().IsZero()
	park := false
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if stop() && park {
			hc.ReleaseConn(cc)
		} else {
			hc.CloseConn(cc)
		}
	}()
	if err := conn.SetDeadline(deadline); err != nil {
		return reused, ErrConnectionLost
	}
	bw := hc.AcquireWriter(conn)
	defer hc.ReleaseWriter(bw)
	if err = req.Write(bw); err == nil {
		err = bw.Flush()
	}
	if err != nil {
		return reused && !isTimeout(err), connectionError(err)
	}
	br := hc.AcquireReader(conn)
	defer hc.ReleaseReader(br)
	if _, err = br.Peek(1); err != nil {
		return reused && !isTimeout(err), connectionError(err)
	}
	if err = resp.ReadLimitBody(br, MaxReply); err != nil {
		if err = replyError(err); errors.Is(err, ErrConnectionLost) && t.cfg.Whole != nil && t.cfg.Whole(resp.Body()) {
			return false, nil // the length was wrong: all of it is there
		}
		return false, err
	}
	park = !resp.ConnectionClose() && !req.ConnectionClose() && br.Buffered() == 0
	return false, nil
}

// host is one host by one route. Each request holds a slot, so that client never
// runs out of connections and waiting for one obeys the context.
type host struct {
	client *fasthttp.HostClient
	slots  chan struct{}
}

// hostKey tells hosts apart.
type hostKey struct {
	origin string
	route  Route
}

// host returns the host of the URL, made on first use.
func (t *Transport) host(u *url.URL, by Route) *host {
	secure := u.Scheme == "https"
	if !secure { // the loopback is reached without help
		by = Route{}
	}
	key := hostKey{u.Scheme + "://" + u.Host, by}
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hosts[key]
	if !ok {
		h = &host{slots: make(chan struct{}, t.cfg.ConnectionsPerHost)}
		d := &dialer{Transport: t, route: by, secure: secure, sessions: tls.NewLRUClientSessionCache(0)}
		h.client = &fasthttp.HostClient{
			Addr:        fasthttp.AddMissingPort(u.Host, secure),
			IsTLS:       secure,
			MaxConns:    t.cfg.ConnectionsPerHost,
			DialTimeout: d.dial,
		}
		t.hosts[key] = h
	}
	return h
}

// closeIdle closes the parked connections of all hosts.
func (t *Transport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hosts {
		h.client.CloseIdleConnections()
	}
}

// Close ends the transport. No request may be running or follow.
func (t *Transport) Close() {
	t.cancel()
	t.idle.Stop()
	t.closeIdle()
}
