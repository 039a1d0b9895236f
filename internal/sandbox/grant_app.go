package sandbox

import (
	"strings"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

const (
	grantClientCredentials = "client_credentials"
	grantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	grantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
	grantAuthorizationCode = "authorization_code"
	grantRefreshToken      = "refresh_token"

	clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	mailScope           = "https://mail.google.com/"
)

// refusal is an error answer of the token endpoint; code "" is none.
type refusal struct {
	status int
	code   string
	aadsts int
	text   string
}

// isTokenURL reports whether an audience names this token endpoint, which is
// served under any path.
func (s *Server) isTokenURL(audience string) bool {
	return strings.HasPrefix(audience, "http://"+s.http.addr+"/") && strings.HasSuffix(audience, "/token")
}

// appToken answers a client that asks for itself: it returns the client and, of
// a service account, the only mailbox that the token is for.
func (s *Server) appToken(r *tokenRequest) (*appClient, *mailbox.Mailbox, refusal) {
	if r.grantType == grantJWTBearer {
		return s.serviceToken(r)
	}
	c := s.grants.client(r.clientID)
	switch {
	case r.clientID == "":
		return nil, nil, refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'client_id'."}
	case c == nil || c.key != nil:
		return nil, nil, refusal{400, "unauthorized_client", 700016, "Application was not found in the directory."}
	case r.scope == "":
		return nil, nil, refusal{400, "invalid_request", 900144, "The request body must contain the following parameter: 'scope'."}
	case c.Provider == mailbox.Outlook && !strings.HasSuffix(r.scope, "/.default"):
		return nil, nil, refusal{400, "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}
	}
	if c.cert == nil {
		if !secretsEqual(c.Secret, r.secret) {
			return nil, nil, refusal{401, "invalid_client", 7000215, "Invalid client secret provided."}
		}
		return c, nil, refusal{}
	}
	a, err := parseAssertion(r.clientAssertion)
	if err == nil && r.clientAssertionType == clientAssertionType {
		err = a.checkClientAssertion(c, s.isTokenURL, s.now())
	}
	if err != nil || r.clientAssertionType != clientAssertionType {
		return nil, nil, refusal{401, "invalid_client", 700027, "The client assertion failed signature validation: " + errorText(err)}
	}
	return c, nil, refusal{}
}

func errorText(err error) string {
	if err == nil {
		return "client_assertion_type is not jwt-bearer."
	}
	return err.Error() + "."
}

// serviceToken answers a service account's assertion (RFC 7523 section 2.1).
func (s *Server) serviceToken(r *tokenRequest) (*appClient, *mailbox.Mailbox, refusal) {
	a, err := parseAssertion(r.assertion)
	if err != nil {
		return nil, nil, refusal{400, "invalid_request", 0, "Invalid JWT: " + err.Error() + "."}
	}
	c := s.grants.client(a.claims.Issuer)
	if c == nil || c.key == nil {
		return nil, nil, refusal{400, "invalid_grant", 0, "Invalid grant: account not found"}
	}
	if a.header.Algorithm != "RS256" || c.KeyID != "" && a.header.KeyID != c.KeyID {
		err = errSASL
	} else {
		err = a.verify(c.key)
	}
	switch {
	case err != nil:
		return nil, nil, refusal{400, "invalid_grant", 0, "Invalid JWT Signature."}
	case !s.isTokenURL(a.claims.Audience):
		return nil, nil, refusal{400, "invalid_grant", 0, "Invalid JWT: Failed audience check."}
	case a.claims.IssuedAt == 0 || a.checkTimes(s.now()) != nil:
		return nil, nil, refusal{400, "invalid_grant", 0, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}
	case a.claims.Scope != mailScope || a.claims.Subject == "":
		return nil, nil, refusal{401, "unauthorized_client", 0, "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}
	}
	box := s.Mailbox(a.claims.Subject)
	switch {
	case box == nil:
		return nil, nil, refusal{400, "invalid_grant", 0, "Invalid email or User ID"}
	case !c.mayActFor(box):
		return nil, nil, refusal{401, "unauthorized_client", 0, "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}
	}
	return c, box, refusal{}
}

// answerApp answers a grant that is not of one mailbox's chain.
func (s *Server) answerApp(ctx *fasthttp.RequestCtx, r *tokenRequest) {
	c, box, no := s.appToken(r)
	if no.code != "" {
		sendJSON(ctx, no.status, oauthError(r.shape, no.code, no.aadsts, no.text))
		return
	}
	r.box = box
	s.sendToken(ctx, c.Provider, s.grants.issueApp(c, box, s.lifetime()), nil)
}
