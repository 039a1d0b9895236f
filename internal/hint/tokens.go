package hint

const (
	checkScope = "check the scope of the account: it must be one that was consented to"
	ownTenant  = "the application belongs to one tenant, and the request names none or another one: set the account's tenant to the application's own"
	delegation = "allow the service account's client ID the scope https://mail.google.com/ in the Google Admin console (domain-wide delegation)"

	howSecret     = "https://entra.microsoft.com: App registrations, the application, Certificates & secrets. Google: https://console.cloud.google.com/auth/clients."
	howRegistered = "https://entra.microsoft.com: App registrations, the application, Overview shows client id and tenant."
	howSignIns    = "https://entra.microsoft.com: Users, the user, Sign-in logs name the policy and what it asks for."
	howScopes     = "Microsoft: https://outlook.office.com/SMTP.Send offline_access; for an application https://outlook.office365.com/.default. Google: https://mail.google.com/. `xoauth2-proxy authorize EMAIL` asks for the right ones."
	howTrust      = "https://admin.google.com: Security, Access and data control, API controls, Manage third-party app access: the client's ID, Trusted."
	howDelegation = "https://admin.google.com: Security, Access and data control, API controls, Domain-wide delegation, Add new: the numeric client ID of the service account."
)

var tokenEntries = map[ID]entry{
	// Refresh tokens.
	RefreshTokenRefused: {"refresh-token-refused", "the provider does not take the refresh token any more",
		"the refresh token is expired, revoked or of another client (Google: password changed, 6 months unused, or 7 days old while the consent screen is in testing); " + reconsent,
		howReconsent + "\nhttps://console.cloud.google.com/auth/audience: Publish app ends the 7 days."},
	RefreshTokenInvalid: {"refresh-token-invalid", "the refresh token is not one of this client and token URL",
		"the refresh token is invalid for this client or endpoint; " + reconsent, howReconsent},
	RefreshTokenExpired: {"refresh-token-expired", "the refresh token has ended", "the refresh token expired; " + reconsent, howReconsent},
	RefreshTokenUnused: {"refresh-token-unused", "the refresh token has ended because it was not used for too long",
		"the refresh token expired because it was not used for too long; " + reconsent, howReconsent + "\noauth.keep_alive renews tokens that are not used."},
	RefreshTokenMissing: {"refresh-token-missing", "the account has no refresh token", "the account has no refresh token", howReconsent},
	SessionsRevoked: {"sessions-revoked", "the user's password was changed, or an administrator has revoked the sessions",
		"the user's sessions were revoked or the password was changed; " + reconsent, howReconsent},

	// A person has to act.
	MFARequired:  {"mfa-required", "the tenant asks this user for a second factor", "multi-factor authentication is required; " + reconsent, howReconsent + "\n" + howSignIns},
	MFAEnrolment: {"mfa-enrolment", "the user has no second factor, and the tenant asks for one", "the user must enrol for multi-factor authentication; " + reconsent, "https://mysignins.microsoft.com/security-info, signed in as the user.\n" + howReconsent},
	UserDisabled: {"user-disabled", "the user is disabled in the tenant", "the user is disabled in the tenant; enable it, then " + reconsent,
		"https://entra.microsoft.com: Users, the user, Account status.\n" + howReconsent},
	UserUnknown: {"user-unknown", "the tenant has no such user", "the user does not exist in the tenant; check the account and the tenant of its token URL", ""},
	ConditionalAccess: {"conditional-access", "a conditional access policy of the tenant blocks the sign-in", "a conditional access policy blocks the sign-in; have it exempt this client",
		"https://entra.microsoft.com: Protection, Conditional Access.\n" + howSignIns},
	ConsentMissing: {"consent-missing", "there is no consent of the user or of an administrator to the scope for this client", "nobody has consented to the scope for this client; consent, then " + reconsent,
		howReconsent + "\n" + howAdmin},
	InteractionRequired: {"interaction-required", "the provider wants a person to act before it issues tokens", "sign in as this user once to see what is asked for, then " + reconsent, howReconsent},
	SessionControl: {"session-control", "the session control of the user's Google Workspace has ended the session",
		"the session control of the user's Google Workspace wants the user to sign in again: have its administrator trust the client or exempt the user (Google Admin console, Google Cloud session control), then " + reconsent,
		"https://admin.google.com: Security, Access and data control, Google Cloud session control.\n" + howReconsent},
	AdminPolicy: {"admin-policy", "a policy of the user's organization keeps the scope from this client",
		"a policy of the user's organization does not let this client have the scope: have its administrator trust the client (Google Admin console, API controls), then " + reconsent,
		howTrust + "\n" + howReconsent},
	InternalClient: {"internal-client", "the OAuth client is for another organization's users only",
		"the OAuth client is for users of its own organization only: use a client of the user's organization, or make the user type of the consent screen external",
		"https://console.cloud.google.com/auth/audience"},

	// The client.
	ClientRefused: {"client-refused", "the provider refuses the OAuth client", "check client_id and client_secret; every account of this client is affected", howSecret},
	ClientDeleted: {"client-deleted", "the OAuth client was deleted at the provider",
		"the OAuth client was deleted at the provider (Google deletes clients that were not used for six months): restore it within 30 days, or make another one and authorize all its accounts again",
		"https://console.cloud.google.com/auth/clients: Restore deleted OAuth clients."},
	ClientDisabled:           {"client-disabled", "the OAuth client is disabled at the provider", "the OAuth client is disabled at the provider: enable it there; every account of this client is affected", howSecret},
	ClientUnknown:            {"client-unknown", "the tenant does not know the application", "the application is not known in the tenant; check client_id and the tenant of the token URL", howRegistered},
	ClientCredentialsRefused: {"client-credentials-refused", "the provider refuses the client's credentials", "the client's credentials are refused; check client_secret, and leave it out for a public client", howSecret},
	ClientSecretWrong:        {"client-secret-wrong", "client_secret is not the one of the application", "client_secret is wrong; put in the secret's value, not its ID", howSecret},
	ClientSecretExpired:      {"client-secret-expired", "client_secret has ended", "client_secret has expired; create a new one in the app registration", howSecret},
	ClientSecretNeeded: {"client-secret-needed", "the provider wants a secret of this client",
		"the provider wants a client_secret: set send_client_secret to true for the account, or allow public client flows in the app registration",
		"https://entra.microsoft.com: App registrations, the application, Authentication, Allow public client flows."},
	ClientSecretUnwanted:     {"client-secret-unwanted", "the provider takes no secret of this client", "the client is public and must send no secret: leave client_secret out, or set send_client_secret to false", ""},
	ClientCertificateRefused: {"client-certificate-refused", "the provider refuses the client's certificate", "the client's certificate is not the one of the app registration, or has expired there; upload it there, and check client_certificate and client_private_key", howSecret},
	ClientAssertionTime:      {"client-assertion-time", "the provider's clock and that of this host differ", "the client's assertion is not valid now; check the clock of this machine", "`timedatectl`"},
	ClientWithoutSecret:      {"client-without-secret", "the account logs in as an application, and has nothing to prove that with", "the account needs client_secret, or a client certificate with its private key", howSecret},
	ClientKeys:               {"client-keys", "the certificate or the private key of the account cannot be used", "check certificate and private key of the account", "`openssl x509 -in FILE -noout -text`, `openssl pkey -in FILE -noout -check`. Both in PEM form, the key without a password."},
	ServicePrincipalMissing: {"service-principal-missing", "the application has no service principal in the tenant",
		"the application has no service principal in the tenant; have an administrator of the tenant consent to it",
		"https://login.microsoftonline.com/TENANT/adminconsent?client_id=CLIENT_ID, signed in as an administrator.\n" + howAppOnly},

	// The request.
	TenantUnknown:        {"tenant-unknown", "there is no such tenant", "the tenant does not exist; check the token URL", howRegistered},
	TenantOfClient:       {"tenant-of-client", "the application is of one tenant, and was asked for in another or in none", ownTenant, howRegistered},
	PersonalAccountsOnly: {"personal-accounts-only", "the application is for personal accounts only", "the application is for personal accounts only; set the tenant consumers", ""},
	ScopeMissing:         {"scope-missing", "a parameter of the request is missing, usually the scope", "a parameter is missing, usually the scope; set the scope of the account", howScopes},
	ScopeRefused:         {"scope-refused", "the provider does not know the scope, or does not give it to this client", checkScope, howScopes},
	TokenRequestWrong:    {"token-request-wrong", "the provider does not take a token request of this form", "check token URL, tenant, client_id and scope of the account", ""},
	TokenRequestRefused: {"token-request-refused", "the provider refuses the token request for a reason that the proxy does not know",
		"the provider refuses the request for a reason that the proxy does not know: look at its text in the log, and act on it; a reload or a release of the account has it asked again",
		"`curl --unix-socket /run/xoauth2-proxy/admin.sock -X POST http://localhost/admin/accounts/EMAIL/resume`"},
	TokenLoop: {"token-loop", "the endpoint sees the same request again and again", "the endpoint sees a loop of token requests; find what else uses this client and user", ""},

	// The endpoint.
	TokenEndpointDown: {"token-endpoint-down", "the token endpoint cannot be reached, or fails", "nothing to do: it is asked again; if it lasts, check the network from this host to the token URL", "`curl -v https://login.microsoftonline.com/`, `curl -v https://oauth2.googleapis.com/`"},
	TokenEndpointBusy: {"token-endpoint-busy", "the token endpoint asks for fewer requests", "nothing to do: it is asked again later", "oauth.parallel_refreshes."},
	TokenURLRedirects: {"token-url-redirects", "the token URL leads elsewhere", "the token URL answers with a redirect; check it", ""},
	TokenURLWrong:     {"token-url-wrong", "the token URL is no address that a secret may be sent to", "check the token URL of the account", "https, or http on loopback."},
	NoTokenEndpoint:   {"no-token-endpoint", "the server at the token URL has no token endpoint there", "check the token URL of the account: the server that it names has no token endpoint there", ""},
	NotTokenEndpoint:  {"not-token-endpoint", "what answers at the token URL is no token endpoint", "check that the token URL is a token endpoint", ""},
	TokenCAMissing:    {"token-ca-missing", "the token endpoint's certificate is of an unknown authority", "if the endpoint has a private certificate authority, name it as ca_file", "oauth.ca_file."},
	TokenCAFile:       {"token-ca-file", "the file of certificate authorities cannot be used", "check ca_file", "oauth.ca_file: certificates in PEM form that the proxy's user may read."},
	TokenProxyURL:     {"token-proxy-url", "the address of the proxy for token requests cannot be used", "check the proxy for token requests", "oauth.proxy, or HTTPS_PROXY in the environment."},
	TokenProxyAuth:    {"token-proxy-auth", "the proxy for token requests wants another user or password", "check user and password in the URL of the proxy for token requests", "oauth.proxy, or HTTPS_PROXY in the environment."},
	TokenProxyRefuses: {"token-proxy-refuses", "the proxy for token requests makes no connection", "check that the proxy for token requests may connect to the token endpoint", "oauth.proxy, or HTTPS_PROXY in the environment."},
	TokenNoIPv6:       {"token-no-ipv6", "the token endpoint has only IPv6 addresses, and this host has no IPv6", "give this host IPv6, or have the token URL, or the proxy for token requests, name a host with an IPv4 address", ""},

	// Within the proxy.
	FlowUnknown: {"flow-unknown", "the proxy does not have the account's oauth_flow", "check the flow of the account", "oauth_flow: refresh_token, client_credentials, service_account or external."},
	TokenShareAway: {"token-share-away", "the store that several proxies share does not answer: another proxy may be refreshing the token, and two refreshes could end it",
		"bring the store of the shared limits back; access tokens that are at hand are used until they end",
		"share.url in config.json; `redis-cli -u URL PING`. Mail goes on by itself when the store answers."},
	TokenStoreUnreadable: {"token-store-unreadable", "the token store, which has the account's newest refresh token, cannot be read", "the newest refresh token of the account is in it: see the log, then restart the proxy", "oauth.token_store; `xoauth2-proxy check` says whether it opens."},
	TooManyMailboxes:     {"too-many-mailboxes", "the catch-all account has as many mailboxes in use as it may have", "try again in some minutes, or raise oauth.max_mailboxes", ""},
	AccountChanged:       {"account-changed", "the account was removed, or its credentials changed, while its token was asked for", "log in again", ""},

	// Flows without a refresh token.
	AppOnlyRefused:        {"app-only-refused", "the tenant gives the application no token", "check tenant, client_id and scope of the account; app-only access needs a token URL with the tenant in it", howAppOnly},
	AppOnlyScope:          {"app-only-scope", "the scope is not one of an application", "the scope of an application ends in /.default, such as https://outlook.office365.com/.default", ""},
	ServiceAccountRefused: {"service-account-refused", "Google gives the service account no token for this mailbox", "check the clock of this machine, that the mailbox exists, and that the key of the service account was not deleted", "`timedatectl`; https://console.cloud.google.com/iam-admin/serviceaccounts: the account, Keys."},
	ServiceAccountKey:     {"service-account-key", "Google does not take the service account's key", "check client_email and private_key of the service account; every mailbox of it is affected", "https://console.cloud.google.com/iam-admin/serviceaccounts: the account, Keys."},
	DomainWideDelegation:  {"domain-wide-delegation", "the service account may not act for users of the domain", delegation, howDelegation},
	TokenServiceRefusesAccount: {"token-service-refuses-account", "the operator's own token service gives no token for the account",
		"the operator's own token service refuses the account; see there", ""},
	TokenServiceRefusesProxy: {"token-service-refuses-proxy", "the operator's own token service does not know the proxy",
		"the operator's own token service refuses the proxy; check client_secret, which is sent to it as bearer token", ""},
	TokenCommandFailed: {"token-command-failed", "the token command failed, or printed no token", "run the token command by hand; it must print an access token, alone or as access_token with expires_in in a JSON object",
		"As the proxy's user, with XOAUTH2_ACCOUNT_ID, XOAUTH2_EMAIL and XOAUTH2_SCOPE set; of the environment it gets PATH, HOME, USER, LANG, TZ and TMPDIR."},
	TokenCommandCannotStart: {"token-command-cannot-start", "the token command cannot be started", "check the path of the token command and that the proxy may run it", ""},
}
