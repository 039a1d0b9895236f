package dial

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"xoauth2-proxy/internal/account"
)

// RouteError says that nothing on the way to the host can work as things are set on this
// host: a person must act, and the provider has no part in it.
type RouteError struct {
	// Text is what is wrong, Hint what to do; one line of ASCII each.
	Text, Hint string
	cause      error // of the system; may be nil
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

const hintSource = "give the address to an interface of this host, or change the ip_address of the account or take it out"

// otherFamily is for a source address of an account, the host of which has only
// addresses of another family.
func otherFamily(host string, source netip.Addr) error {
	have, want := "IPv4", "IPv6"
	if source.Is6() {
		have, want = want, have
	}
	return &RouteError{
		Text: fmt.Sprintf("the account's ip_address %v is of %s, and %s has only %s addresses", source, have, host, want),
		Hint: "change the ip_address of the account to one of " + want + " or take it out",
	}
}

// ipv6Off is for a host with only IPv6 addresses where these may not be used.
func ipv6Off(host string) error {
	return &RouteError{
		Text: host + " has only IPv6 addresses, and global.smtp.use_ipv6 is false",
		Hint: "set global.smtp.use_ipv6 to true if this host has IPv6; else name a host with an IPv4 address",
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
		return &RouteError{a.SMTP.Host + " has only IPv6 addresses, and this host has no way to them",
			"give this host IPv6, or name a host with an IPv4 address", err}
	}
	if !a.SourceIP.IsValid() {
		return err
	}
	text := fmt.Sprintf("the account's ip_address %v ", a.SourceIP)
	switch {
	case call.Syscall == "bind" && errors.Is(err, syscall.EADDRNOTAVAIL):
		return &RouteError{text + "is not an address of this host", hintSource, err}
	case call.Syscall == "bind", errors.Is(err, syscall.EINVAL): // the system finds no route from it, and says EINVAL
		return &RouteError{text + "cannot be connected from", hintSource, err}
	}
	return err
}

// lacksIPv6 reports whether an error of a connection to an IPv6 address is one that systems
// without IPv6 give.
func lacksIPv6(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}
