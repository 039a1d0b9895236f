package forecast

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
)

// Facts are what a forecast is made from.
type Facts struct {
	Now time.Time
	// Stopped: no proxy runs, and nothing uses the refresh tokens.
	Stopped      bool
	Accounts     []Account
	Certificates []Certificate
	Counts       []Count
	// Notes say what could not be found out.
	Notes []string
}

// Account is what is known of an account.
type Account struct {
	*account.Account
	// Idle is how long the provider lets a refresh token be unused; 0: it is not known.
	Idle time.Duration
	// Used is when the refresh token was used or issued last; zero: it is not known. Seen is
	// when the proxy met it, which was later than its issue; zero: it never did.
	Used, Seen time.Time
	// Ends is when the refresh token ends by the provider's answer, zero if that does not
	// say. Rolls: a use of the token puts Ends off.
	Ends  time.Time
	Rolls bool
	// NextUse is when the running proxy will use the token by itself, zero if it will not.
	NextUse time.Time
	// Refused: the provider refuses the token already.
	Refused bool
}

// hasToken reports whether the account has a refresh token that may end.
func (a *Account) hasToken() bool {
	return a.TokenFlow() == account.FlowRefreshToken && !a.RefreshToken.IsZero() && !a.Refused
}

// unknown reports whether the token may end unused, and nothing says when.
func (a *Account) unknown(f *Facts) bool {
	return a.hasToken() && a.Idle > 0 && a.Used.IsZero() && a.Seen.IsZero() && (f.Stopped || a.NextUse.IsZero())
}

// isUsedBefore reports whether the running proxy will use the token before it ends.
func (a *Account) isUsedBefore(f *Facts, end time.Time) bool {
	return !f.Stopped && a.NextUse.After(f.Now) && a.NextUse.Before(end)
}

// Certificate is a certificate of a file.
type Certificate struct {
	Kind Kind
	// What names the file, and in it the certificate if there are more.
	What string
	End  time.Time
}

// FirstEnd returns the certificate of a PEM text that ends first, and Text to name it by. In
// the file of certificate authorities, of which is true, those that have ended do not count
// if there is one that has not: such files keep old ones. ok is false if there is none.
func FirstEnd(text []byte, authorities bool, now time.Time) (end time.Time, name string, ok bool) {
	var ended time.Time
	var endedName string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		switch {
		case authorities && c.NotAfter.Before(now):
			if ended.Before(c.NotAfter) {
				ended, endedName = c.NotAfter, c.Subject.String()
			}
		case !ok || c.NotAfter.Before(end):
			end, name, ok = c.NotAfter, c.Subject.String(), true
		}
	}
	if !ok && !ended.IsZero() {
		return ended, endedName, true
	}
	return end, name, ok
}

// counted is a number of things in words.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
