package hint

const (
	startAgain  = "; start again"
	personNo    = "the person refused"
	tooLate     = "nobody entered the code in time; start again"
	howRedirect = "https://entra.microsoft.com: App registrations, the application, Authentication, Mobile and desktop applications. Google: https://console.cloud.google.com/auth/clients."
	howAdmin    = "https://entra.microsoft.com: Enterprise applications, the application, Permissions, Grant admin consent. Google: https://admin.google.com: Security, Access and data control, API controls."
)

var consentEntries = map[ID]entry{
	ConsentRefused: {"consent-refused", "the person said no", personNo, ""},
	ConsentDenied: {"consent-denied", "the person said no, or the tenant does not let its users consent",
		"the person refused, or the tenant does not let its users consent: have an administrator consent", howAdmin},
	ConsentNeedsAdmin:      {"consent-needs-admin", "the tenant does not let its users consent", "the tenant does not let its users consent: have an administrator consent", howAdmin},
	ConsentTooLate:         {"consent-too-late", "the time of the code is over", tooLate, ""},
	ConsentCodeInvalid:     {"consent-code-invalid", "the provider does not take the code", "the code was used already or is too old, or the redirect address is another one" + startAgain, ""},
	ConsentCodeUsed:        {"consent-code-used", "the code was used before", "the code was used already" + startAgain, ""},
	ConsentCodeOfOther:     {"consent-code-of-other", "the code was issued to another client, or for another redirect address", "the code is not good for this client or redirect address" + startAgain, ""},
	ConsentCodeOld:         {"consent-code-old", "the time of the code is over", "the code is too old" + startAgain, ""},
	ConsentCodeWrong:       {"consent-code-wrong", "the code that was entered is not the one that was shown, or its time is over", "the code is too old or was mistyped" + startAgain, ""},
	ConsentCodeForeign:     {"consent-code-foreign", "the code is the answer to another request", "the code is not of this request" + startAgain, ""},
	ConsentRedirect:        {"consent-redirect", "the app registration does not have the redirect address", "the redirect address is not one of the app registration: add it there as one of a mobile and desktop application", howRedirect},
	ConsentRedirectDiffers: {"consent-redirect-differs", "the redirect address differs between the two requests", "the redirect address is not the one that the consent was asked with" + startAgain, ""},
	ConsentPublicClient: {"consent-public-client", "the client may not ask for consent in this way", "allow public client flows in the app registration, or check client_id",
		"https://entra.microsoft.com: App registrations, the application, Authentication, Allow public client flows."},
	ConsentPolicy: {"consent-policy", "a conditional access policy blocks the sign-in",
		"a conditional access policy of the tenant blocks the sign-in, as many do for device codes: use a browser (--method browser), or have the policy exempt this client",
		"`xoauth2-proxy authorize --method browser EMAIL`"},
	ConsentRefusedOtherwise: {"consent-refused-otherwise", "the provider refuses with a number that the proxy does not know", "the provider refuses for a reason of its own: act on its text, then start again", ""},
	ConsentURLs:             {"consent-urls", "an address of the provider cannot be used", "check the URLs of the provider", "providers.NAME.auth_url, device_url and token_url: https, or http on loopback."},
	ConsentNotOffline: {"consent-not-offline", "the provider's answer has no refresh token",
		"ask for offline access: the scope offline_access at Microsoft; at Google, withdraw the consent at https://myaccount.google.com/permissions and give it again",
		"providers.NAME.consent_scope."},
	ConsentNoDeviceCode: {"consent-no-device-code", "the provider has no address for device codes", "use a browser instead", "`xoauth2-proxy authorize --method browser EMAIL`"},
}
