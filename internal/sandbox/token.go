package sandbox

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// scopes that the token endpoint grants, by provider.
var scopes = map[string]string{
	PresetGmail:   "https://mail.google.com/",
	PresetOutlook: "https://outlook.office.com/SMTP.Send",
}

// tokenRequest is a request to the token endpoint, with what was found for it.
type tokenRequest struct {
	grantType, refresh string
	clientID, secret   string
	box                *mailbox // nil: unknown refresh token
	shape              string   // provider whose errors to imitate
}

// serveToken is the token endpoint: RFC 6749 section 6, for registered accounts.
func (h *httpServer) serveToken(ctx *fasthttp.RequestCtx) {
	s := h.srv
	s.counters.tokenRequests.Add(1)
	r := s.readTokenRequest(ctx)
	if r.box != nil {
		r.box.count(func(st *AccountStats) { st.TokenRequests++ })
	}
	if s.faults.set.Load() != nil {
		ev := &event{phase: PhaseToken}
		if r.box != nil {
			ev.account, ev.endpoint = r.box.Email, r.box.Endpoint
		}
		if f := s.faults.take(ev); f != nil {
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
	status, code, aadsts, text := s.checkToken(ctx, r)
	if code != "" {
		if r.box != nil {
			r.box.count(func(st *AccountStats) { st.TokenRefusals++ })
		}
		sendJSON(ctx, status, oauthError(r.shape, code, aadsts, text))
		return
	}
	s.issueToken(ctx, r, true)
}

// checkToken returns the error of a request, or code "".
func (s *Server) checkToken(ctx *fasthttp.RequestCtx, r *tokenRequest) (status int, code string, aadsts int, text string) {
	known := s.grants.shape(r.clientID) != ""
	switch {
	case !ctx.IsPost():
		return 405, "invalid_request", 900561, "The endpoint only accepts POST requests."
	case r.grantType == "":
		return 400, "invalid_request", 900144, "The request body must contain the following parameter: 'grant_type'."
	case r.grantType != "refresh_token":
		return 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
	case r.clientID == "":
		return 400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."
	case r.refresh == "":
		return 400, "invalid_request", 900144, "The request body must contain the following parameter: 'refresh_token'."
	case !known && r.shape == PresetOutlook:
		return 400, "unauthorized_client", 700016, "Application was not found in the directory."
	case !known:
		return 401, "invalid_client", 700016, "The OAuth client was not found."
	case r.box == nil || r.box.ClientID != r.clientID:
		return 400, "invalid_grant", 70000, "Token has been expired or revoked."
	case !secretsEqual(r.box.ClientSecret, r.secret):
		return 401, "invalid_client", 7000215, "Invalid client secret provided."
	}
	return 200, "", 0, ""
}

// issueToken answers with a new access token and, where due, refresh token.
func (s *Server) issueToken(ctx *fasthttp.RequestCtx, r *tokenRequest, scoped bool) (token string) {
	life := time.Duration(s.cfg.Tokens.Lifetime)
	token = s.grants.issue(r.box, life, scoped)
	scope := scopes[r.box.Provider]
	if !scoped {
		scope = "openid profile"
	}
	answer := map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(life / time.Second), "scope": scope,
	}
	rotated := s.grants.rotates(r.box)
	if rotated {
		answer["refresh_token"] = s.grants.rotate(r.box, r.refresh)
	}
	if r.box.Provider == PresetOutlook {
		answer["ext_expires_in"] = answer["expires_in"]
	}
	s.counters.tokensIssued.Add(1)
	r.box.count(func(st *AccountStats) {
		st.TokensIssued++
		if rotated {
			st.TokenRotations++
		}
	})
	sendJSON(ctx, 200, answer)
	return token
}

// oauthError makes the error object of RFC 6749 section 5.2 in the shape of
// the provider.
func oauthError(shape, code string, aadsts int, text string) map[string]any {
	if shape != PresetOutlook {
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
