package dial

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
)

// RouteError says that nothing on the way to the host can work as things are set on this
// host: a person must act, and the provider has no part in it.
type RouteError struct {
	Text  string // what is wrong; one line of ASCII
	Hint  hint.ID
	cause error // of the system; may be nil
}

// Error implements error.
func (e *RouteError) Error() string {
	if call, ok := errors.AsType[*os.SyscallError](e.cause); ok {
		return e.Text + ": " + call.Error()
	}
	return e.Text
}

// Unwrap returns the error of the system, nil if there is none.
func (e *RouteError) Unwrap() error { return e.cause }

// otherFamily is for a source address of an account, the host of which has only
// addresses of another family.
func otherFamily(host string, source netip.Addr) error {
	have, want := "IPv4", "IPv6"
	if source.Is6() {
		have, want = want, have
	}
	return &RouteError{
		Text: fmt.Sprintf("the account's ip_address %v is of %s, and %s has only %s addresses", source, have, host, want),
		Hint: hint.SourceFamily,
	}
}

// ipv6Off is for a host with only IPv6 addresses where these may not be used.
func ipv6Off(host string) error {
	return &RouteError{
		Text: host + " has only IPv6 addresses, and global.smtp.use_ipv6 is false",
		Hint: hint.IPv6Off,
	}
}

// explain returns why the system makes no connection for a, or err if it is not to be told
// from settings of this host. only6: the host has only IPv6 addresses.
func explain(err error, a *account.Account, only6 bool) error {
	call, ok := errors.AsType[*os.SyscallError](err)
	if !ok {
		return err
	}
	if only6 && call.Syscall != "bind" && lacksIPv6(err) {
		return &RouteError{a.SMTP.Host + " has only IPv6 addresses, and this host has no way to them", hint.NoIPv6, err}
	}
	if !a.SourceIP.IsValid() {
		return err
	}
	text := fmt.Sprintf("the account's ip_address %v ", a.SourceIP)
	switch {
	case call.Syscall == "bind" && errors.Is(err, syscall.EADDRNOTAVAIL):
		return &RouteError{text + "is not an address of this host", hint.SourceNotOfHost, err}
	case call.Syscall == "bind", errors.Is(err, syscall.EINVAL): // the system finds no route from it, and says EINVAL
		return &RouteError{text + "cannot be connected from", hint.SourceNotOfHost, err}
	}
	return err
}

// lacksIPv6 reports whether an error of a connection to an IPv6 address is one that systems
// without IPv6 give.
func lacksIPv6(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}
