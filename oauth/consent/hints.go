package consent

import "xoauth2-proxy/oauth"

// codeHints say what an "error" means while consent is being given.
var codeHints = map[string]string{
	"access_denied":          "the person refused, or the tenant does not let its users consent: have an administrator consent",
	"authorization_declined": "the person refused",
	"expired_token":          "nobody entered the code in time; start again",
	"invalid_grant":          "the code was used already or is too old, or the redirect address is another one; start again",
	"unauthorized_client":    "allow public client flows in the app registration, or check client_id",
}

// numberHints say what Microsoft's numbers mean while consent is being given, where
// that is not what they mean at a refresh.
var numberHints = map[string]string{
	"AADSTS54005":  "the code was used already; start again",
	"AADSTS70000":  "the code is not good for this client or redirect address; start again",
	"AADSTS70008":  "the code is too old; start again",
	"AADSTS70017":  "the person refused",
	"AADSTS70019":  "nobody entered the code in time; start again",
	"AADSTS70020":  "nobody entered the code in time; start again",
	"AADSTS70018":  "the code is too old or was mistyped; start again",
	"AADSTS50011":  "the redirect address is not one of the app registration: add it there as one of a mobile and desktop application",
	"AADSTS500112": "the redirect address is not the one that the consent was asked with; start again",
	"AADSTS501481": "the code is not of this request; start again",
	"AADSTS53003":  hintDevicePolicy,
	"AADSTS530036": hintDevicePolicy,
	"AADSTS65004":  "the person refused",
	"AADSTS90094":  "the tenant does not let its users consent: have an administrator consent",
}

const (
	hintDevicePolicy = "a conditional access policy of the tenant blocks the sign-in, as many do for device codes: use a browser (--method browser), or have the policy exempt this client"
	hintOther        = "the provider refuses for a reason of its own: act on its text, then start again"
)

// explain returns err with a hint for a person who gives consent. A number says more
// than the word beside it.
func explain(err *oauth.Error) *oauth.Error {
	e := *err
	number, byWord := numberHints[e.ProviderCode], codeHints[e.Code]
	switch {
	case number != "":
		e.Hint = number
	case e.NumberKnown(): // the hint is by its number already
	case e.ProviderCode != "" && (e.Code == "invalid_grant" || e.Code == "unauthorized_client"): // a word for many reasons
		e.Hint = hintOther
	case byWord != "":
		e.Hint = byWord
	}
	return &e
}
