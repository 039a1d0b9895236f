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

// explain returns why the system makes no connection from the source address of a, or err
// if the address is not the reason.
func explain(err error, a *account.Account) error {
	call, ok := errors.AsType[*os.SyscallError](err)
	if !ok || !a.SourceIP.IsValid() {
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
