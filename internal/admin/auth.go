package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"strings"

	"github.com/valyala/fasthttp"
)

// MinToken is the least length of a bearer token, in octets.
const MinToken = 16

// SetToken sets the token that requests below /admin and /debug must carry. "" asks for
// none, which is for the loopback only: then only the admin socket takes changes. It may
// be called while the server runs.
func (s *Server) SetToken(token string) {
	if token == "" {
		s.token.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token))
	s.token.Store(&sum)
}

// guarded reports whether a path needs the token. Metrics and health need none: they hold
// no secret and no account, and are for monitoring.
func guarded(path string) bool {
	return strings.HasPrefix(path, "/admin") || strings.HasPrefix(path, "/debug")
}

// changes reports whether a request may change something, or has the proxy use
// secrets: every one below /admin that is not for reading only.
func changes(ctx *fasthttp.RequestCtx) bool {
	return strings.HasPrefix(string(ctx.Path()), "/admin") && !ctx.IsGet() && !ctx.IsHead()
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
	if !guarded(string(ctx.Path())) {
		return true
	}
	want := s.token.Load()
	if local == nil && want != nil && hasToken(ctx, want) {
		return true
	}
	if len(ctx.Request.Header.Peek("Origin")) > 0 { // a browser, sent here by some page
		WriteError(ctx, fasthttp.StatusForbidden, "requests from web pages are not served")
		return false
	}
	if local != nil {
		return true
	}
	if want == nil {
		if !changes(ctx) {
			return true
		}
		s.refuse(ctx, s.remedy())
		return false
	}
	s.refuse(ctx, "a bearer token is needed")
	return false
}

// hasToken reports whether a request has the token with that hash. No web page can have it
// sent by a browser that does not know it.
func hasToken(ctx *fasthttp.RequestCtx, want *[sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(string(ctx.Request.Header.Peek("Authorization")), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
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
