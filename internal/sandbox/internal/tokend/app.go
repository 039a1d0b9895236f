package tokend

import (
	"errors"
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

const clientAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// notAllowed is Google's answer to a service account without domain-wide
// delegation for the mailbox or the scope.
var notAllowed = &refusal{401, "unauthorized_client", 0, "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."}

// isTokenURL reports whether an audience names this token endpoint, under any
// path.
func (s *Server) isTokenURL(audience string) bool {
	return strings.HasPrefix(audience, "http://"+s.addr+"/") && strings.HasSuffix(audience, "/token")
}

// answerApp answers a client that asks for itself.
func (s *Server) answerApp(r *request) {
	check := s.checkApp
	if r.get("grant_type") == grantJWTBearer {
		check = s.checkService
	}
	c, box, no := check(r)
	switch {
	case no != nil:
		refuse(r, no)
	case box != nil:
		box.Count(func(st *mailbox.Stats) { st.TokenRequests++; st.TokensIssued++ })
		s.sendToken(r, c.Provider, s.grants.issue(box, s.lifetime(), true), nil)
	default:
		s.sendToken(r, c.Provider, s.grants.issueApp(c, s.lifetime()), nil)
	}
}

// checkApp returns the application that asks with client credentials (RFC 6749
// section 4.4); its token is for any mailbox that it may act for.
func (s *Server) checkApp(r *request) (*appClient, *mailbox.Mailbox, *refusal) {
	c, scope := s.grants.client(r.clientID), r.get("scope")
	switch {
	case r.clientID == "":
		return nil, nil, missing("client_id")
	case c == nil || c.key != nil:
		return nil, nil, unknownApp
	case scope == "":
		return nil, nil, missing("scope")
	case c.Provider == mailbox.Outlook && !strings.HasSuffix(scope, "/.default"):
		return nil, nil, &refusal{400, "invalid_scope", 1002012, "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."}
	case c.cert == nil && !secretsEqual(c.Secret, r.secret):
		return nil, nil, wrongSecret
	case c.cert == nil && isOver(c.SecretEnds, s.now()):
		return nil, nil, secretEnded
	case c.cert == nil:
		return c, nil, nil
	}
	a, err := parseAssertion(r.get("client_assertion"))
	switch {
	case err != nil:
	case isOver(c.cert.NotAfter, s.now()):
		err = errors.New("the certificate is expired")
	case r.get("client_assertion_type") != clientAssertionType:
		err = errors.New("client_assertion_type is not jwt-bearer")
	default:
		err = a.checkClientAssertion(c, s.isTokenURL, s.now())
	}
	if err != nil {
		return nil, nil, &refusal{401, "invalid_client", 700027, "The client assertion failed signature validation: " + err.Error() + "."}
	}
	return c, nil, nil
}

// checkService returns the service account that signed the assertion (RFC 7523
// section 2.1), and the only mailbox that its token is for.
func (s *Server) checkService(r *request) (*appClient, *mailbox.Mailbox, *refusal) {
	a, err := parseAssertion(r.get("assertion"))
	if err != nil {
		return nil, nil, &refusal{400, "invalid_request", 0, "Invalid JWT: " + err.Error() + "."}
	}
	c := s.grants.client(a.claims.Issuer)
	switch {
	case c == nil || c.key == nil:
		return nil, nil, &refusal{400, "invalid_grant", 0, "Invalid grant: account not found"}
	case a.header.Algorithm != "RS256" || c.KeyID != "" && a.header.KeyID != c.KeyID || a.verify(c.key) != nil:
		return nil, nil, &refusal{400, "invalid_grant", 0, "Invalid JWT Signature."}
	case !s.isTokenURL(a.claims.Audience):
		return nil, nil, &refusal{400, "invalid_grant", 0, "Invalid JWT: Failed audience check."}
	case a.claims.IssuedAt == 0 || a.checkTimes(s.now()) != nil:
		return nil, nil, &refusal{400, "invalid_grant", 0, "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."}
	case a.claims.Scope != scopes[mailbox.Gmail] || a.claims.Subject == "":
		return nil, nil, notAllowed
	}
	box := s.boxes.Mailbox(a.claims.Subject)
	switch {
	case box == nil:
		return nil, nil, &refusal{400, "invalid_grant", 0, "Invalid email or User ID"}
	case !c.mayActFor(box):
		return nil, nil, notAllowed
	}
	return c, box, nil
}
