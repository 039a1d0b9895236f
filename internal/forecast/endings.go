package forecast

import (
	"strings"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
)

const day = 24 * time.Hour

// authorizeAgain is the remedy after the end of a refresh token.
const authorizeAgain = `"xoauth2-proxy authorize" with the account's address`

// unused finds the last day of a refresh token that is not used.
func unused(f *Facts, a *Account) (e Ending, ok bool) {
	since, assumes := a.Used, "the token is not used before"
	if since.IsZero() {
		since, assumes = a.Seen, "at the latest: the token was issued before the proxy first read it, and is not used before"
	}
	end, allowed := since.Add(a.Idle), a.Idle
	if since.IsZero() || a.Idle <= 0 {
		end = time.Time{}
	}
	if a.Rolls && (end.IsZero() || a.Ends.Before(end)) {
		end, allowed = a.Ends, a.Ends.Sub(a.Used)
	}
	if !a.hasToken() || end.IsZero() || a.isUsedBefore(f, end) {
		return e, false
	}
	remedy := "send by the account before, or have keep-alive use the token: keep_alive of the provider or oauth_keep_alive of the account, less than " + inDays(allowed)
	if f.Stopped {
		remedy = "start the proxy before: mail and keep-alive use the token"
	}
	return Ending{At: end, Kind: TokenUnused, Hint: hint.RefreshTokenUnused.String(), Assumes: assumes,
		Fails:  "the refresh token ends, because it was not used for " + inDays(allowed) + ": logins and mail of the account get 535 and 451",
		Remedy: remedy + "; after that day: " + authorizeAgain}, true
}

// given finds the end that a provider gave with a refresh token.
func given(_ *Facts, a *Account) (e Ending, ok bool) {
	if !a.hasToken() || a.Ends.IsZero() || a.Rolls {
		return e, false
	}
	remedy := authorizeAgain
	switch {
	case a.Provider == "gmail":
		remedy = `Google ends refresh tokens after 7 days while the OAuth consent screen is in "testing": publish it (Google Auth Platform, Audience, Publish app), then ` + authorizeAgain
	case strings.HasPrefix(a.Provider, "outlook"):
		remedy = "Microsoft ends refresh tokens of single-page applications after 24 hours: register the redirect URI for mobile and desktop applications, then " + authorizeAgain
	}
	return Ending{At: a.Ends, Kind: TokenEnds, Hint: hint.RefreshTokenExpired.String(),
		Fails:  "the refresh token ends, used or not, as its provider said: logins and mail of the account get 535 and 451",
		Remedy: remedy}, true
}

// secret finds the end of a client secret.
func secret(_ *Facts, a *Account) (e Ending, ok bool) {
	if a.ClientSecret.IsZero() || a.SecretExpires.IsZero() {
		return e, false
	}
	what := "client_id " + a.ClientID
	if a.Flow == account.FlowExternal {
		what = a.TokenURL
	}
	return Ending{At: a.SecretExpires, Kind: ClientSecret, What: what, Hint: hint.ClientSecretExpired.String(),
		Fails:   "the token endpoint refuses the client: no account of it gets a new token",
		Remedy:  "make a new secret at the provider, put it in the place of client_secret, and change client_secret_expires; a reload puts it in force",
		Assumes: "client_secret_expires is right"}, true
}

// clientCertificate finds the end of the certificate that an account's client signs with.
func clientCertificate(f *Facts, a *Account) (e Ending, ok bool) {
	end, _, ok := FirstEnd([]byte(a.Certificate), false, f.Now)
	return Ending{At: end, Kind: ClientCertificate, Hint: hint.ClientCertificateRefused.String(),
		What:   "client_id " + a.ClientID,
		Fails:  "the token endpoint refuses what the client signs: no account of it gets a new token",
		Remedy: "add a new certificate to the client at the provider, then change client_certificate and client_private_key; a reload puts them in force"}, ok
}

// ending is the end of a certificate of a file.
func (c *Certificate) ending() Ending {
	e := Ending{At: c.End, Kind: c.Kind, What: c.What,
		Fails:  "clients that check the certificate of the proxy do not connect",
		Remedy: "renew the certificate in the file: the proxy reads it again by itself"}
	if c.Kind == CACertificate {
		e.Hint = hint.TLSFailed.String()
		e.Fails = "TLS with servers whose certificates are of this authority fails"
		e.Remedy = "put the authority that takes its place into the file beside it, and restart the proxy"
	}
	return e
}

// inDays is a time in words.
func inDays(d time.Duration) string {
	if d < 2*day {
		return d.Round(time.Minute).String()
	}
	return counted(int((d+day/2)/day), "day")
}
