package account

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// CheckTokenURL returns an error unless u is an https URL with a host, or an http URL with
// a loopback host: requests to it carry secrets.
func CheckTokenURL(u *url.URL) error {
	switch {
	case u.Opaque != "" || u.Hostname() == "":
		return errors.New(`must be a URL such as "https://host/path"`)
	case u.User != nil:
		return errors.New("must not contain a user name or password")
	case u.Fragment != "":
		return errors.New("must not contain a fragment (#)")
	case u.Scheme == "https", u.Scheme == "http" && IsLoopback(u.Hostname()):
		return nil
	case u.Scheme == "http":
		return errors.New("must be https; http, which shows the refresh token to the network, is for loopback hosts only")
	}
	return fmt.Errorf("must be https, not %q", u.Scheme)
}

// IsLoopback reports whether host is a loopback address or "localhost".
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
