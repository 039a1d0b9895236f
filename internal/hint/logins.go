package hint

const (
	reconsent = "authorize the account again and put the new refresh token into the accounts file"
	// howReconsent is for accounts that a person consented for.
	howReconsent = "`xoauth2-proxy authorize EMAIL`"
	tooMuch      = "lower the connections, logins and messages a minute of the account"
	howTooMuch   = "providers.NAME.max_concurrent_messages and rate_limiting in config.json. The proxy lowers the connections by itself meanwhile."
	howMailbox   = "Exchange Online PowerShell: `Set-CASMailbox -Identity EMAIL -SmtpClientAuthenticationDisabled $false`, or https://admin.microsoft.com: the user, Mail, Manage email apps, Authenticated SMTP. Tenants sold by GoDaddy have the switch in GoDaddy's own panel."
	howAppOnly   = "For an application (client_credentials): the permission SMTP.SendAsApp with admin consent, then in Exchange Online PowerShell, with the object id of the enterprise application (not of the app registration):\n`New-ServicePrincipal -AppId CLIENT_ID -ObjectId OBJECT_ID`\n`Add-MailboxPermission -Identity EMAIL -User OBJECT_ID -AccessRights FullAccess`\n`Add-RecipientPermission -Identity EMAIL -Trustee OBJECT_ID -AccessRights SendAs`"
)

var loginEntries = map[ID]entry{
	LoginRefused: {"login-refused", "the provider refuses the account's login, for a reason that the proxy does not know", "look at the quoted reply, and act on it at the provider", ""},
	LoginFailing: {"login-failing", "the provider fails the login for now", "a passing failure at the provider; it is tried again", ""},
	LoginForm: {"login-form", "the provider did not understand a line of AUTH, which says nothing about the token",
		"the provider did not understand AUTH as it was sent, which is about the length or the form of a line and not about the token: " +
			"providers.NAME.initial_response in config.json chooses the form; auto sends long tokens on a line of their own", ""},
	SMTPAuthDisabled: {"smtp-auth-disabled", "SMTP AUTH is disabled for the mailbox or its tenant, or a policy refuses the login", "enable SMTP AUTH for the tenant and the mailbox", howMailbox},
	SMTPAuthDisabledTenant: {"smtp-auth-disabled-tenant", "SMTP AUTH is disabled for the whole tenant",
		"SMTP AUTH is disabled for the tenant: Set-TransportConfig -SmtpClientAuthenticationDisabled $false, " +
			"or enable it for the mailbox: Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false", howMailbox},
	SMTPAuthDisabledMailbox: {"smtp-auth-disabled-mailbox", "SMTP AUTH is disabled for the mailbox",
		"SMTP AUTH is disabled for the mailbox: Set-CASMailbox -Identity <mailbox> -SmtpClientAuthenticationDisabled $false", howMailbox},
	SecurityDefaults: {"security-defaults", "security defaults of the tenant block SMTP AUTH",
		"security defaults of the tenant block SMTP AUTH: turn them off, or allow the sign-in by conditional access",
		"https://entra.microsoft.com: Overview, Properties, Manage security defaults."},
	MailboxLocked: {"mailbox-locked", "the mailbox's user is locked or may not sign in", "the mailbox's user is locked or blocked from signing in: unblock it in the admin center",
		"https://admin.microsoft.com: Users, Active users, the user, Unblock sign-in."},
	LoginPolicy: {"login-policy", "a conditional access policy of the tenant refuses the login", "a conditional access policy of the tenant refuses the sign-in: have it exempt this client",
		"https://entra.microsoft.com: Protection, Conditional Access; the user's sign-in logs name the policy."},
	PasswordLogin: {"password-login", "Microsoft takes the login for one by password",
		"Microsoft takes this for a password login: check that the account logs in with an access token and that SMTP AUTH is enabled for it", howMailbox},
	TokenNotForMailbox: {"token-not-for-mailbox", "the access token does not let its user or application send as this mailbox by SMTP",
		"the token is not for SMTP submission of this mailbox: consent to https://outlook.office.com/SMTP.Send " +
			"(app-only: the permission SMTP.SendAsApp, a service principal in Exchange and a mailbox permission for it), " +
			"and check that the user who consented is the mailbox that logs in", howReconsent + "\n" + howAppOnly},
	TokenNotForSMTP: {"token-not-for-smtp", "the provider refuses the access token at login",
		"check that the token is for SMTP (scope), that its user may send as the mailbox, and that SMTP AUTH is enabled for it", ""},
	TokenNearExpiry: {"token-near-expiry", "the access token is malformed, or too near its end for this server",
		"the token is malformed or too near its expiry for this endpoint: a new one is fetched; raise the refresh margin of the provider if this repeats",
		"providers.NAME.refresh_margin. smtp.hve.mx.microsoft wants at least 10 minutes."},
	TokenNotGoogles: {"token-not-googles", "Google does not take the access token for this mailbox",
		"Google does not take the token: the account may be of another user, consent may have been withdrawn, or the password changed; " + reconsent, howReconsent},
	TokenLacksGoogleScope: {"token-lacks-google-scope", "the access token lacks Google's scope for mail",
		"the token lacks the scope https://mail.google.com/: consent to it, then put the new refresh token into the accounts file", howReconsent},
	TokenLacksScope: {"token-lacks-scope", "the access token lacks a scope for mail",
		"the token lacks a scope for mail: " + checkScope, howReconsent},
	TokenExpired: {"token-expired", "the access token has ended before its time, or was revoked",
		"the token has expired or was revoked: a new one is fetched; if this repeats, " + reconsent, howReconsent},
	TokenOfOtherUser: {"token-of-other-user", "the access token is of another user, or lacks the scope for mail",
		"the token is not good for this mailbox, or lacks the scope https://mail.google.com/: check that the user who consented is the mailbox, then " + reconsent, howReconsent},
	TokenTooLong: {"token-too-long", "the access token is longer than SMTP allows in AUTH",
		"the access token is too long to log in with: ask the provider, or the token command, for one with fewer claims (groups, roles, scopes)", ""},
	BrowserLogin: {"browser-login", "Google wants the user to sign in with a browser first",
		"Google wants the user to sign in with a browser once, or an administrator to allow the client; then " + reconsent,
		"https://mail.google.com, signed in as the user; https://admin.google.com: Security, Access and data control, API controls.\n" + howReconsent},
	TooManyLogins: {"too-many-logins", "the provider takes no more logins of this account for a while",
		"the provider takes no more logins of this account for a while: lower its connections and logins per minute",
		"providers.NAME.rate_limiting.logins_per_minute and max_concurrent_messages."},
	TooManyConnectionsOrLogins: {"too-many-connections-or-logins", "the account has more connections or logins than the provider takes at one time", tooMuch, howTooMuch},
	EHLONameRefused: {"ehlo-name-refused", "the provider does not take the name in the proxy's EHLO",
		"upstream.ehlo_name sets the name in EHLO: the fully qualified name of this host, as DNS has it", "`hostname -f`"},
	ConnectionRefused: {"connection-refused", "the provider ends the connection before the login", "a passing failure at the provider; it is tried again", ""},
}
