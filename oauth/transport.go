package oauth

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/account"
)

const (
	// maxRequest caps the body of a request.
	maxRequest = 1 << 20
	userAgent  = "xoauth2-proxy"
)

// transport is an http.RoundTripper for token endpoints over fasthttp
// connections. It follows no redirect, sends no request in the clear unless to
// the loopback, and repeats a request once: when a kept-alive connection turns
// out to have been closed before any octet of the reply.
type transport struct {
	timeout time.Duration // of a request without a deadline
	connect time.Duration
	keep    time.Duration
	maxConn int
	proxy   account.Secret // of requests without one of their own
	roots   *x509.CertPool // nil: the system's
	tlsErr  error          // why no TLS connection can be made

	ctx    context.Context // ends when the transport is closed
	cancel context.CancelFunc

	mu    sync.Mutex // guards hosts
	hosts map[hostKey]*host
	// idle closes the connections that are parked when nothing was asked for
	// the time in keep. (fasthttp's own cleaner is a goroutine that cannot be
	// stopped, so connections are acquired without it.)
	idle *time.Timer
}

func newTransport(cfg Config) *transport {
	t := &transport{
		timeout: cfg.Timeout,
		connect: cfg.ConnectTimeout,
		keep:    cfg.IdleTimeout,
		maxConn: cfg.ConnectionsPerHost,
		proxy:   cfg.Proxy,
		hosts:   make(map[hostKey]*host),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	pool, err := cfg.roots()
	if err != nil { // fail closed: the system's authorities are not what was asked for
		t.tlsErr = fmt.Errorf("%w: %v", errCAFile, err)
	}
	t.roots = pool
	t.idle = time.AfterFunc(t.keep, t.closeIdle)
	return t
}

// checkTokenURL refuses what must not be asked: a request has a refresh token
// in it, which no wire outside the machine may carry in the clear.
func checkTokenURL(u *url.URL) error {
	host := u.Hostname()
	switch {
	case host == "" || u.User != nil:
		return errTokenURL
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && (strings.EqualFold(host, "localhost") || isLoopback(host)):
		return nil
	}
	return errTokenURL
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// RoundTrip implements http.RoundTripper. It obeys the deadline of the
// request's context and, other than while connecting, its cancellation. The
// reply's header has Retry-After and a Content-Type only, which is always that of
// JSON: what the endpoint says is not relied on, see asJSON.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	if err := checkTokenURL(r.URL); err != nil {
		return nil, err
	}
	if r.URL.Scheme == "https" && t.tlsErr != nil {
		return nil, t.tlsErr
	}
	ctx := r.Context()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
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

	h := t.host(r.URL, t.routeOf(r.Context()))
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	hc := h.client
	stale, err := t.exchange(ctx, hc, req, resp)
	if stale {
		hc.CloseIdleConnections() // the others are as old
		resp.Reset()
		_, err = t.exchange(ctx, hc, req, resp)
	}
	t.idle.Reset(t.keep)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case isTimeout(err): // the connection's timer was faster than the context's
			return nil, context.DeadlineExceeded
		}
		return nil, err
	}
	return httpResponse(r, resp)
}

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	return io.ReadAll(io.LimitReader(r.Body, maxRequest))
}

// httpResponse copies what the flows look at; fasthttp's memory is reused.
func httpResponse(r *http.Request, resp *fasthttp.Response) (*http.Response, error) {
	body, err := asJSON(resp.Body(), string(resp.Header.ContentEncoding()))
	if err != nil {
		return nil, err
	}
	body = bytes.Clone(body)
	header := http.Header{"Content-Type": {"application/json"}}
	if v := resp.Header.Peek("Retry-After"); len(v) > 0 {
		header.Set("Retry-After", string(v))
	}
	status := resp.StatusCode()
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", status, http.StatusText(status)),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}

// exchange sends req on a parked or new connection and reads the reply. stale
// says that the connection was a parked one that ended before any reply, so
// that the request was not processed and may be repeated.
func (t *transport) exchange(ctx context.Context, hc *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response) (stale bool, err error) {
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
		return reused, errConnectionLost
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
	if err = resp.ReadLimitBody(br, maxReply); err != nil {
		if err = replyError(err); errors.Is(err, errConnectionLost) && isWhole(resp.Body()) {
			return false, nil // the length was wrong: all of it is there
		}
		return false, err
	}
	park = !resp.ConnectionClose() && !req.ConnectionClose() && br.Buffered() == 0
	return false, nil
}

// host is one token endpoint by one route. Each exchange holds a slot, so that
// client never runs out of connections and waiting for one obeys the context.
type host struct {
	client *fasthttp.HostClient
	slots  chan struct{}
}

// hostKey tells hosts apart: what one route trusts or passes, another must not
// use.
type hostKey struct {
	origin string
	route  route
}

// host returns that of the URL, made on first use.
func (t *transport) host(u *url.URL, by route) *host {
	secure := u.Scheme == "https"
	if !secure { // the loopback is reached without help
		by = route{}
	}
	key := hostKey{u.Scheme + "://" + u.Host, by}
	t.mu.Lock()
	defer t.mu.Unlock()
	h, ok := t.hosts[key]
	if !ok {
		h = &host{slots: make(chan struct{}, t.maxConn)}
		d := &dialer{transport: t, route: by, secure: secure, sessions: tls.NewLRUClientSessionCache(0)}
		h.client = &fasthttp.HostClient{
			Addr:        fasthttp.AddMissingPort(u.Host, secure),
			IsTLS:       secure,
			MaxConns:    t.maxConn,
			DialTimeout: d.dial,
		}
		t.hosts[key] = h
	}
	return h
}

// closeIdle closes the parked connections of all hosts.
func (t *transport) closeIdle() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.hosts {
		h.client.CloseIdleConnections()
	}
}

// close ends the transport. No request may be running or follow.
func (t *transport) close() {
	t.cancel()
	t.idle.Stop()
	t.closeIdle()
}
