package keyboard

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// MaxPassword bounds a password, in octets.
const MaxPassword = 1024

var (
	errEmptyPassword = errors.New("the password is empty")
	errBadPassword   = fmt.Errorf("a password is one line of at most %d octets without NUL", MaxPassword)
	errNoPassword    = errors.New("no password was given")
)

// PasswordLine reads a password up to the end of the input or its only line end.
func PasswordLine(in *os.File) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, MaxPassword+int64(len("\r\n"))+1))
	if err != nil {
		return "", err
	}
	return checkPassword(bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")))
}

// checkPassword refuses passwords that no client can log in with.
func checkPassword(text []byte) (string, error) {
	switch {
	case len(text) == 0:
		return "", errEmptyPassword
	case len(text) > MaxPassword, bytes.ContainsAny(text, "\r\n\x00"): // RFC 4616 section 2 has no NUL
		return "", errBadPassword
	}
	return string(text), nil
}

// AskPassword asks the person at a terminal twice, and does not show the password.
func AskPassword(in *os.File) (string, error) {
	old, err := term.MakeRaw(int(in.Fd())) // before the first question, so that no early key shows
	if err != nil {
		return "", err
	}
	defer term.Restore(int(in.Fd()), old)
	keys := bufio.NewReader(in)
	first, err := typed(keys, "Password (not shown): ", MaxPassword)
	if err != nil {
		return "", err
	}
	text, err := checkPassword(first)
	if err != nil {
		return "", err
	}
	again, err := typed(keys, "The same again: ", MaxPassword)
	if err == nil && string(again) != text {
		err = errors.New("the two are not the same")
	}
	return text, err
}
