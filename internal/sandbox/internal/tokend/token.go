package tokend

import (
	"crypto/rand"
	"encoding/base64"
	"maps"
	"strconv"
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

// Grant types of the token endpoint.
const (
	grantClientCredentials = "client_credentials"
	grantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	grantAuthorizationCode = "authorization_code"
	grantRefreshToken      = "refresh_token"
)

// request is a request to the token endpoint, with what was found for it.
type request struct {
	*fasthttp.RequestCtx
	clientID, secret string
	box              *mailbox.Mailbox // the refresh token's; nil: unknown, or none was sent
	shape            string           // provider whose errors to imitate
}

// get returns a field of the form.
func (r *request) get(key string) string { return string(r.PostArgs().Peek(key)) }

// refusal is an error answer of the token endpoint.
type refusal struct {
	status int
	code   string // RFC 6749 section 5.2
	aadsts int    // Microsoft's number of the error
	text   string
}

var (
	unknownApp  = &refusal{400, "unauthorized_client", 700016, "Application was not found in the directory."}
	wrongSecret = &refusal{401, "invalid_client", 7000215, "Invalid client secret provided."}
	secretEnded = &refusal{401, "invalid_client", 7000222, "The provided client secret keys for app are expired."}
	tokenEnded  = &refusal{400, "invalid_grant", 700084, "The refresh token was issued to a client with a fixed, limited lifetime, and is expired."}
	tokenUnused = &refusal{400, "invalid_grant", 700082, "The refresh token has expired due to inactivity."}
)

func missing(parameter string) *refusal {
	return &refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: '" + parameter + "'."}
}

// serveToken is the token endpoint of RFC 6749: refresh tokens and consents of
// registered accounts, and registered clients that ask for themselves.
func (s *Server) serveToken(ctx *fasthttp.RequestCtx) {
	s.requests.Add(1)
	r := s.read(ctx)
	ev := &fault.Event{Phase: fault.PhaseToken}
	if r.box != nil {
		r.box.Count(func(st *mailbox.Stats) { st.TokenRequests++ })
		ev.Account, ev.Endpoint = r.box.Email, r.box.Endpoint
	}
	if f := s.faults.Take(ev); f != nil {
		s.act(f, r)
		return
	}
	s.answer(r)
}

// read finds the client's identity, in the form or in HTTP Basic (RFC 6749
// section 2.3.1), and whose refresh token was sent.
func (s *Server) read(ctx *fasthttp.RequestCtx) *request {
	r := &request{RequestCtx: ctx}
	r.clientID, r.secret = r.get("client_id"), r.get("client_secret")
	if b64, ok := strings.CutPrefix(string(ctx.Request.Header.Peek("Authorization")), "Basic "); ok {
		if pair, err := base64.StdEncoding.DecodeString(b64); err == nil {
			id, secret, _ := strings.Cut(string(pair), ":")
			r.clientID, r.secret = unescape(id), unescape(secret)
		}
	}
	r.box = s.grants.owner(r.get("refresh_token"))
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

// answer answers as the provider does.
func (s *Server) answer(r *request) {
	if r.IsPost() {
		switch r.get("grant_type") {
		case grantClientCredentials, grantJWTBearer:
			s.answerApp(r)
			return
		case grantDeviceCode, grantAuthorizationCode:
			s.answerConsent(r)
			return
		}
	}
	if no := s.checkRefresh(r); no != nil {
		if r.box != nil {
			r.box.Count(func(st *mailbox.Stats) { st.TokenRefusals++ })
		}
		refuse(r, no)
		return
	}
	s.issue(r, true)
}

// checkRefresh returns the error of a refresh, or nil.
func (s *Server) checkRefresh(r *request) *refusal {
	known := s.grants.shape(r.clientID) != ""
	switch grant := r.get("grant_type"); {
	case !r.IsPost():
		return &refusal{405, "invalid_request", 900561, "The endpoint only accepts POST requests."}
	case grant == "":
		return missing("grant_type")
	case grant != grantRefreshToken:
		return &refusal{400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."}
	case r.clientID == "":
		return missing("client_id")
	case r.get("refresh_token") == "":
		return missing("refresh_token")
	case !known && r.shape == mailbox.Outlook:
		return unknownApp
	case !known:
		return &refusal{401, "invalid_client", 700016, "The OAuth client was not found."}
	case r.box == nil || r.box.ClientID != r.clientID:
		return &refusal{400, "invalid_grant", 70000, "Token has been expired or revoked."}
	case !secretsEqual(r.box.ClientSecret, r.secret):
		return wrongSecret
	case r.box.ClientSecret != "" && isOver(r.box.SecretEnds, s.now()):
		return secretEnded
	}
	return s.grants.ended(r.box, r.get("refresh_token"))
}

// isOver reports whether there is an end and it has come.
func isOver(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// issue answers with a new access token and, where due, a new refresh token. The
// access token opens SMTP only if it is scoped.
func (s *Server) issue(r *request, scoped bool) (token string) {
	token = s.grants.issue(r.box, s.lifetime(), scoped)
	more := map[string]any{}
	if !scoped {
		more["scope"] = "openid profile"
	}
	s.tellLife(r.box, more)
	rotated := s.grants.refreshed(r.box, r.get("refresh_token"))
	if rotated != "" {
		more["refresh_token"] = rotated
	}
	r.box.Count(func(st *mailbox.Stats) {
		st.TokensIssued++
		if rotated != "" {
			st.TokenRotations++
		}
	})
	s.sendToken(r, r.box.Provider, token, more)
	return token
}

// tellLife adds how long the refresh token is good, if that is limited.
func (s *Server) tellLife(m *mailbox.Mailbox, more map[string]any) {
	if m.RefreshLife > 0 {
		more["refresh_token_expires_in"] = int(s.grants.lifeEnds(m).Sub(s.now()) / time.Second)
	}
}

func (s *Server) lifetime() time.Duration { return time.Duration(s.cfg.Lifetime) }

// sendToken sends the successful answer of RFC 6749 section 5.1 in the shape of
// the provider, with more in it.
func (s *Server) sendToken(r *request, provider, token string, more map[string]any) {
	answer := map[string]any{"access_token": token, "token_type": "Bearer",
		"expires_in": int(s.lifetime() / time.Second), "scope": scopes[provider]}
	maps.Copy(answer, more)
	if provider == mailbox.Outlook {
		answer["ext_expires_in"] = answer["expires_in"]
	}
	s.issued.Add(1)
	SendJSON(r.RequestCtx, 200, answer)
}

// refuse sends the error object of RFC 6749 section 5.2 in the shape of the
// request's provider.
func refuse(r *request, no *refusal) {
	answer := map[string]any{"error": no.code, "error_description": no.text}
	if r.shape == mailbox.Outlook {
		trace, correlation, now := rand.Text(), rand.Text(), time.Now().UTC().Format("2006-01-02 15:04:05Z")
		answer = map[string]any{
			"error": no.code,
			"error_description": "AADSTS" + strconv.Itoa(no.aadsts) + ": " + no.text + " Trace ID: " + trace +
				" Correlation ID: " + correlation + " Timestamp: " + now,
			"error_codes": []int{no.aadsts}, "timestamp": now, "trace_id": trace, "correlation_id": correlation,
		}
	}
	SendJSON(r.RequestCtx, no.status, answer)
}
