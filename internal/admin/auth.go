package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// MinToken is the least length of a bearer token, in octets.
const MinToken = 16

// SetToken sets the token that requests below /admin and /debug, and for the metrics of
// accounts, must carry. "" asks for
// none, which is for the loopback only: then only the admin socket takes changes. A server
// that listens elsewhere keeps its token. SetToken may be called while the server runs.
func (s *Server) SetToken(token string) {
	if token == "" {
		if len(s.listeners) > 0 && !isLoopback(s.Addr()) { // until a restart moves it
			return
		}
		s.token.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token))
	s.token.Store(&sum)
}

// guarded reports whether a path needs the token. Metrics and health need none: they hold
// no secret and no account, and are for monitoring. The metrics of accounts name them.
func guarded(path string) bool {
	return strings.HasPrefix(path, "/admin") || strings.HasPrefix(path, accountMetricsPath) || strings.HasPrefix(path, "/debug")
}

// changes reports whether a request may change something, or has the proxy use
// secrets: every one below /admin that is not for reading only.
func changes(ctx *fasthttp.RequestCtx) bool {
	return strings.HasPrefix(pathOf(ctx), "/admin") && !ctx.IsGet() && !ctx.IsHead()
}

// Requester names the sender of a request: "uid 0" for a peer of the admin socket, else
// the address.
func Requester(ctx *fasthttp.RequestCtx) string {
	if local, ok := ctx.Conn().(*localConn); ok {
		return fmt.Sprintf("uid %d", local.uid)
	}
	return ctx.RemoteAddr().String()
}

// admit returns true for a request that may be served, and answers any other one. The
// time it takes does not depend on how much of the token is right.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	local, _ := ctx.Conn().(*localConn)
	if local != nil && !local.allowed {
		unauthorized.Inc()
		WriteError(ctx, fasthttp.StatusForbidden,
			fmt.Sprintf("the admin socket serves root and uid %d, the request is uid %d's", os.Geteuid(), local.uid))
		return false
	}
	if !guarded(pathOf(ctx)) {
		return true
	}
	want := s.token.Load()
	switch {
	case local == nil && want != nil && hasToken(ctx, want): // no web page has the token
		return true
	case len(ctx.Request.Header.Peek("Origin")) > 0: // a browser, sent here by some page
		WriteError(ctx, fasthttp.StatusForbidden, "requests from web pages are not served")
		return false
	case local != nil:
		return true
	case want != nil:
		s.refuse(ctx, "a bearer token is needed")
		return false
	case !s.isOurHost(ctx.Request.Header.Host()) || !s.isOurHost(ctx.Host()):
		WriteError(ctx, fasthttp.StatusForbidden,
			"without admin.token, requests are served for the host localhost, loopback addresses and the names in admin.hosts only")
		return false
	case changes(ctx):
		s.refuse(ctx, s.remedy())
		return false
	}
	return true
}

// hasToken reports whether the request has the token with that hash.
func hasToken(ctx *fasthttp.RequestCtx, want *[sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(string(ctx.Request.Header.Peek("Authorization")), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

// isOurHost reports whether a request for that host, which may have a port, is meant for
// this server. A web page reaches a server on the loopback if the name of the page's own
// host resolves to a loopback address by now (DNS rebinding); the browser then sends that
// name.
func (s *Server) isOurHost(host []byte) bool {
	name := string(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	name = strings.TrimSuffix(name, ".")
	if ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")); err == nil {
		return ip.Unmap().IsLoopback()
	}
	isOurs := func(ours string) bool { return strings.EqualFold(name, strings.TrimSuffix(ours, ".")) }
	return isOurs("localhost") || slices.ContainsFunc(s.cfg.Hosts, isOurs)
}

// refuse answers 401.
func (s *Server) refuse(ctx *fasthttp.RequestCtx, message string) {
	unauthorized.Inc()
	ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="xoauth2-proxy"`)
	WriteError(ctx, fasthttp.StatusUnauthorized, message)
}

// remedy says how to make a change while no token is set.
func (s *Server) remedy() string {
	const only = "without admin.token, changes, dry runs and verification are served on the admin socket only"
	if s.socket == "" {
		return only + ", and there is none: set admin.token in config.json, or admin.socket to a path that can be made"
	}
	return fmt.Sprintf("%s: use curl --unix-socket %s, or set admin.token in config.json and send it as bearer token", only, s.socket)
}
