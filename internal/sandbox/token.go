package sandbox

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// scopes that the token endpoint grants, by provider.
var scopes = map[string]string{
	mailbox.Gmail:   "https://mail.google.com/",
	mailbox.Outlook: "https://outlook.office.com/SMTP.Send",
}

// tokenRequest is a request to the token endpoint, with what was found for it.
type tokenRequest struct {
	grantType, refresh string
	clientID, secret   string
	scope              string

	assertion, clientAssertion, clientAssertionType string // RFC 7523
	code, verifier, redirect, deviceCode            string // of a consent

	box   *mailbox.Mailbox // nil: unknown refresh token, or none
	shape string           // provider whose errors to imitate
}

// serveToken is the token endpoint of RFC 6749: refresh tokens and consents of
// registered accounts, and registered clients that ask for themselves.
func (h *httpServer) serveToken(ctx *fasthttp.RequestCtx) {
	s := h.srv
	s.counters.tokenRequests.Add(1)
	r := s.readTokenRequest(ctx)
	if r.box != nil {
		r.box.Count(func(st *mailbox.Stats) { st.TokenRequests++ })
	}
	if s.faults.Active() {
		ev := &fault.Event{Phase: PhaseToken}
		if r.box != nil {
			ev.Account, ev.Endpoint = r.box.Email, r.box.Endpoint
		}
		if f := s.faults.Take(ev); f != nil {
			h.actToken(ctx, f, &r)
			return
		}
	}
	s.answerToken(ctx, &r)
}

// readTokenRequest reads the form, and the client's identity from the form or
// from HTTP Basic (RFC 6749 section 2.3.1).
func (s *Server) readTokenRequest(ctx *fasthttp.RequestCtx) tokenRequest {
	form := ctx.PostArgs()
	r := tokenRequest{
		grantType: string(form.Peek("grant_type")), refresh: string(form.Peek("refresh_token")),
		clientID: string(form.Peek("client_id")), secret: string(form.Peek("client_secret")),
		scope: string(form.Peek("scope")), assertion: string(form.Peek("assertion")),
		clientAssertion:     string(form.Peek("client_assertion")),
		clientAssertionType: string(form.Peek("client_assertion_type")),
		code:                string(form.Peek("code")), verifier: string(form.Peek("code_verifier")),
		redirect: string(form.Peek("redirect_uri")), deviceCode: string(form.Peek("device_code")),
	}
	if b64, ok := strings.CutPrefix(string(ctx.Request.Header.Peek("Authorization")), "Basic "); ok {
		if pair, err := base64.StdEncoding.DecodeString(b64); err == nil {
			id, secret, _ := strings.Cut(string(pair), ":")
			r.clientID, r.secret = unescape(id), unescape(secret)
		}
	}
	r.box = s.grants.owner(r.refresh)
	r.shape = s.grants.shape(r.clientID)
	if r.shape == "" && r.box != nil {
		r.shape = r.box.Provider
	}
	return r
}

// unescape decodes a form-encoded value; a malformed one stays as it is.
func unescape(v string) string {
	var args fasthttp.Args
	args.Parse("v=" + v)
	return string(args.Peek("v"))
}

// answerToken answers as the provider would.
func (s *Server) answerToken(ctx *fasthttp.RequestCtx, r *tokenRequest) {
	if ctx.IsPost() {
		switch r.grantType {
		case grantClientCredentials, grantJWTBearer:
			s.answerApp(ctx, r)
			return
		case grantDeviceCode, grantAuthorizationCode:
			s.answerConsent(ctx, r)
			return
		}
	}
	if no := s.checkToken(ctx, r); no.code != "" {
		if r.box != nil {
			r.box.Count(func(st *mailbox.Stats) { st.TokenRefusals++ })
		}
		sendJSON(ctx, no.status, oauthError(r.shape, no.code, no.aadsts, no.text))
		return
	}
	s.issueToken(ctx, r, true)
}

// checkToken returns the error of a refresh.
func (s *Server) checkToken(ctx *fasthttp.RequestCtx, r *tokenRequest) refusal {
	known := s.grants.shape(r.clientID) != ""
	switch {
	case !ctx.IsPost():
		return refusal{405, "invalid_request", 900561, "The endpoint only accepts POST requests."}
	case r.grantType == "":
		return refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."}
	case r.grantType != grantRefreshToken:
		return refusal{400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."}
	case r.clientID == "":
		return refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."}
	case r.refresh == "":
		return refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'refresh_token'."}
	case !known && r.shape == mailbox.Outlook:
		return refusal{400, "unauthorized_client", 700016, "Application was not found in the directory."}
	case !known:
		return refusal{401, "invalid_client", 700016, "The OAuth client was not found."}
	case r.box == nil || r.box.ClientID != r.clientID:
		return refusal{400, "invalid_grant", 70000, "Token has been expired or revoked."}
	case !secretsEqual(r.box.ClientSecret, r.secret):
		return refusal{401, "invalid_client", 7000215, "Invalid client secret provided."}
	}
	return refusal{}
}

// issueToken answers with a new access token and, where due, refresh token.
func (s *Server) issueToken(ctx *fasthttp.RequestCtx, r *tokenRequest, scoped bool) (token string) {
	token = s.grants.issue(r.box, s.lifetime(), scoped)
	more := map[string]any{}
	if !scoped {
		more["scope"] = "openid profile"
	}
	s.grants.use(r.box, r.refresh)
	rotated := s.grants.rotates(r.box)
	if rotated {
		more["refresh_token"] = s.grants.rotate(r.box, r.refresh)
	}
	r.box.Count(func(st *mailbox.Stats) {
		st.TokensIssued++
		if rotated {
			st.TokenRotations++
		}
	})
	s.sendToken(ctx, r.box.Provider, token, more)
	return token
}

func (s *Server) lifetime() time.Duration { return time.Duration(s.cfg.Tokens.Lifetime) }

// sendToken sends the successful answer of RFC 6749 section 5.1 in the shape of
// the provider, with more in it.
func (s *Server) sendToken(ctx *fasthttp.RequestCtx, provider, token string, more map[string]any) {
	answer := map[string]any{"access_token": token, "token_type": "Bearer",
		"expires_in": int(s.lifetime() / time.Second), "scope": scopes[provider]}
	maps.Copy(answer, more)
	if provider == mailbox.Outlook {
		answer["ext_expires_in"] = answer["expires_in"]
	}
	s.counters.tokensIssued.Add(1)
	sendJSON(ctx, 200, answer)
}

// oauthError makes the error object of RFC 6749 section 5.2 in the shape of
// the provider.
func oauthError(shape, code string, aadsts int, text string) map[string]any {
	if shape != mailbox.Outlook {
		return map[string]any{"error": code, "error_description": text}
	}
	now := time.Now().UTC()
	trace, correlation := rand.Text(), rand.Text()
	return map[string]any{
		"error": code,
		"error_description": aadstsText(aadsts, text) + " Trace ID: " + trace + " Correlation ID: " + correlation +
			" Timestamp: " + now.Format("2006-01-02 15:04:05Z"),
		"error_codes": []int{aadsts}, "timestamp": now.Format("2006-01-02 15:04:05Z"),
		"trace_id": trace, "correlation_id": correlation,
	}
}

// sendJSON answers with a JSON object, not to be cached (RFC 6749 section 5.1).
func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		ctx.Error(err.Error(), 500)
		return
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetBody(append(b, '\n'))
}
