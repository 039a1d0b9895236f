package accountkeys

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/password"
)

// CheckTokenURL accepts what account.CheckTokenURL does.
func CheckTokenURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil {
		u = new(url.URL) // which has no host
	}
	if err := account.CheckTokenURL(u); err != nil {
		return "", err
	}
	return s, nil
}

// CheckHost accepts a host name or an IP address.
func CheckHost(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return s, nil
	}
	if s == "" || len(s) > 253 || strings.ContainsAny(s, " :/@[]\\\"<>,;()") {
		return "", errors.New("must be a host name or an IP address")
	}
	return s, nil
}

// CheckProxyURL accepts the URL of an HTTP proxy, or account.NoProxy in any case.
func CheckProxyURL(s string) (account.Secret, error) {
	if strings.EqualFold(s, account.NoProxy) {
		return account.NewSecret(account.NoProxy), nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return account.Secret{}, errors.New(`must be "http://host:port", "https://host:port" or "none"`)
	}
	return account.NewSecret(s), nil
}

// ClientPassword reads the password that clients log in with: a hash or plain text.
func ClientPassword(v *keyfile.Value) (account.Secret, bool) {
	return keyfile.CheckedPassword(func(s string) (account.Secret, error) {
		_, err := password.Parse(s)
		return account.NewSecret(s), err
	})(v)
}

// Bounds of durations. The upper ones only catch wrong units.
const (
	MinTimeout = 100 * time.Millisecond
	MaxTimeout = time.Hour
)

// Timeout reads a timeout.
var Timeout = keyfile.Duration(MinTimeout, MaxTimeout)

// KeepAlive reads how long a refresh token may be unused. Below an hour the
// provider would take it for abuse.
func KeepAlive(v *keyfile.Value) (time.Duration, bool) {
	d, ok := keyfile.Duration(0, 365*24*time.Hour)(v)
	if ok && d > 0 && d < time.Hour {
		v.Fail("%v is less than 1h", d)
		return 0, false
	}
	return d, ok
}

// SecretExpires reads client_secret_expires by RFC 3339: a date, which is its first moment in
// UTC, or a date and time.
var SecretExpires = keyfile.Checked(func(s string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New(`must be a date as in "2027-03-01", or a date and time as in "2027-03-01T12:00:00Z"`)
})

// OrNever turns the 0 of a file into -1, which stands for never in a provider and an
// account.
func OrNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// TLSMode reads a TLS mode.
var TLSMode = keyfile.OneOf(map[string]account.TLSMode{"ssl": account.TLSImplicit},
	account.TLSStartTLS, account.TLSImplicit)
