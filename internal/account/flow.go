package account

// Flow names how an account gets its access tokens.
type Flow string

const (
	// FlowRefreshToken exchanges a refresh token that a person consented to
	// (RFC 6749 section 6).
	FlowRefreshToken Flow = "refresh_token"
	// FlowClientCredentials has the client ask for itself (RFC 6749 section
	// 4.4), with a secret or a certificate. Such a token may open any mailbox
	// that the tenant's administrator lets the client use.
	FlowClientCredentials Flow = "client_credentials"
	// FlowServiceAccount has a Google service account ask on behalf of one
	// mailbox, by a signed assertion (RFC 7523).
	FlowServiceAccount Flow = "service_account"
	// FlowExternal takes access tokens from the operator's command or HTTP endpoint.
	FlowExternal Flow = "external"
)

// Flows lists all flows.
var Flows = []Flow{FlowRefreshToken, FlowClientCredentials, FlowServiceAccount, FlowExternal}

// ClientAuth is how a client sends its secret to the token endpoint, by the names of
// RFC 7591 section 2.
type ClientAuth string

const (
	// ClientSecretPost sends it as a field of the form. Google and Microsoft take it so.
	ClientSecretPost ClientAuth = "client_secret_post"
	// ClientSecretBasic sends it in the header Authorization (RFC 6749 section 2.3.1).
	ClientSecretBasic ClientAuth = "client_secret_basic"
)

// Mechanism is a SASL mechanism that takes a bearer token.
type Mechanism string

const (
	// MechanismXOAUTH2 is the mechanism of Google and Microsoft.
	MechanismXOAUTH2 Mechanism = "xoauth2"
	// MechanismOAUTHBEARER is the standard one (RFC 7628).
	MechanismOAUTHBEARER Mechanism = "oauthbearer"
)

// InitialResponse says whether the response of AUTH goes with the command
// (RFC 4954 section 4).
type InitialResponse string

const (
	// InitialResponseAuto sends it with the command if the line then has at
	// most the 512 octets that every server takes, else after the 334.
	InitialResponseAuto InitialResponse = "auto"
	// InitialResponseAlways sends it with the command, however long the line is.
	InitialResponseAlways InitialResponse = "always"
	// InitialResponseNever sends it after the 334.
	InitialResponseNever InitialResponse = "never"
)

// TokenFlow returns the flow with its default filled in.
func (a *Account) TokenFlow() Flow {
	if a.Flow == "" {
		return FlowRefreshToken
	}
	return a.Flow
}

// TokenSubject returns the mailbox that a service account acts for, and "" with
// any other flow.
func (a *Account) TokenSubject() string {
	switch {
	case a.Flow != FlowServiceAccount:
		return ""
	case a.Subject != "":
		return a.Subject
	}
	return a.Identity()
}
