package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"github.com/valyala/fasthttp"
)

// MinToken is the least length of a bearer token, in octets.
const MinToken = 16

// SetToken makes token the one that requests below /admin and /debug must carry;
// "" asks for none, which is for the loopback only. It may be called while the
// server runs.
func (s *Server) SetToken(token string) {
	if token == "" {
		s.token.Store(nil)
		return
	}
	sum := sha256.Sum256([]byte(token))
	s.token.Store(&sum)
}

// guarded reports whether a path is for those who have the token. Metrics and
// health hold no secret and no account, and are for monitoring.
func guarded(path string) bool {
	return strings.HasPrefix(path, "/admin") || strings.HasPrefix(path, "/debug")
}

// admit answers a request that may not be served, and then returns false. The
// time it takes does not depend on how much of the token is right.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	if !guarded(string(ctx.Path())) {
		return true
	}
	if len(ctx.Request.Header.Peek("Origin")) > 0 { // a browser, sent here by some page
		WriteError(ctx, fasthttp.StatusForbidden, "requests from web pages are not served")
		return false
	}
	want := s.token.Load()
	if want == nil {
		return true
	}
	scheme, token, _ := strings.Cut(string(ctx.Request.Header.Peek("Authorization")), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return true
	}
	unauthorized.Inc()
	ctx.Response.Header.Set("WWW-Authenticate", `Bearer realm="xoauth2-proxy"`)
	WriteError(ctx, fasthttp.StatusUnauthorized, "a bearer token is needed")
	return false
}
