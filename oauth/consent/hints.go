package consent

import (
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth"
)

// codeHints say what an "error" means while consent is being given.
var codeHints = map[string]hint.ID{
	"access_denied":          hint.ConsentDenied,
	"authorization_declined": hint.ConsentRefused,
	"expired_token":          hint.ConsentTooLate,
	"invalid_grant":          hint.ConsentCodeInvalid,
	"unauthorized_client":    hint.ConsentPublicClient,
}

// numberHints say what Microsoft's numbers mean while consent is being given, where
// that is not what they mean at a refresh.
var numberHints = map[string]hint.ID{
	"AADSTS54005":  hint.ConsentCodeUsed,
	"AADSTS70000":  hint.ConsentCodeOfOther,
	"AADSTS70008":  hint.ConsentCodeOld,
	"AADSTS70017":  hint.ConsentRefused,
	"AADSTS70019":  hint.ConsentTooLate,
	"AADSTS70020":  hint.ConsentTooLate,
	"AADSTS70018":  hint.ConsentCodeWrong,
	"AADSTS50011":  hint.ConsentRedirect,
	"AADSTS500112": hint.ConsentRedirectDiffers,
	"AADSTS501481": hint.ConsentCodeForeign,
	"AADSTS53003":  hint.ConsentPolicy,
	"AADSTS530036": hint.ConsentPolicy,
	"AADSTS65004":  hint.ConsentRefused,
	"AADSTS90094":  hint.ConsentNeedsAdmin,
}

// explain returns err with a hint for a person who gives consent. A number says more
// than the word beside it.
func explain(err *oauth.Error) *oauth.Error {
	e := *err
	number, byWord := numberHints[e.ProviderCode], codeHints[e.Code]
	switch {
	case number != hint.None:
		e.Hint = number
	case e.NumberKnown(): // the hint is by its number already
	case e.ProviderCode != "" && (e.Code == "invalid_grant" || e.Code == "unauthorized_client"): // a word for many reasons
		e.Hint = hint.ConsentRefusedOtherwise
	case byWord != hint.None:
		e.Hint = byWord
	}
	return &e
}
