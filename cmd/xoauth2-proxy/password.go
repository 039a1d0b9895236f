package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"

	"xoauth2-proxy/internal/password"
)

// passwordCmd has the commands for the passwords of clients.
type passwordCmd struct {
	Hash passwordHashCmd `cmd:"" help:"Hash a password, read from standard input or asked for at the terminal, for client_password in accounts.json or server.shared_password in config.json."`
}

// passwordHashCmd prints the hash of a password.
type passwordHashCmd struct{}

// Run implements the command.
func (c *passwordHashCmd) Run() error {
	read := passwordLine
	if term.IsTerminal(int(os.Stdin.Fd())) {
		read = askPassword
	}
	text, err := read(os.Stdin)
	if err != nil {
		return err
	}
	hash, err := password.Hash(text)
	if err != nil {
		return err
	}
	fmt.Println(hash)
	return nil
}

// maxPassword bounds a password, in octets.
const maxPassword = 1024

var (
	errEmptyPassword = errors.New("the password is empty")
	errBadPassword   = fmt.Errorf("a password is one line of at most %d octets without NUL", maxPassword)
	errNoPassword    = errors.New("no password was given")
)

// passwordLine reads a password up to the end of the input or its only line end.
func passwordLine(in *os.File) (string, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxPassword+int64(len("\r\n"))+1))
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
	case len(text) > maxPassword, bytes.ContainsAny(text, "\r\n\x00"): // RFC 4616 section 2 has no NUL
		return "", errBadPassword
	}
	return string(text), nil
}

// askPassword asks the person at a terminal twice, and does not show the password.
func askPassword(in *os.File) (string, error) {
	old, err := term.MakeRaw(int(in.Fd())) // before the first question, so that no early key shows
	if err != nil {
		return "", err
	}
	defer term.Restore(int(in.Fd()), old)
	keys := bufio.NewReader(in)
	first, err := typed(keys, "Password (not shown): ", maxPassword)
	if err != nil {
		return "", err
	}
	text, err := checkPassword(first)
	if err != nil {
		return "", err
	}
	again, err := typed(keys, "The same again: ", maxPassword)
	if err == nil && string(again) != text {
		err = errors.New("the two are not the same")
	}
	return text, err
}

// Octets of the keys that a terminal in raw mode leaves to the program.
const (
	keyInterrupt = 'C' & 0x1f
	keyEnd       = 'D' & 0x1f
	keyBackspace = 'H' & 0x1f
	keyErase     = 'U' & 0x1f
	keyDelete    = 0x7f
)

// typed asks a question at a terminal in raw mode and returns the line that the
// person types. It ignores keys after most+1 octets.
func typed(keys *bufio.Reader, question string, most int) (line []byte, err error) {
	fmt.Fprint(os.Stderr, question)
	defer fmt.Fprint(os.Stderr, "\r\n")
	for {
		switch key, err := keys.ReadByte(); {
		case errors.Is(err, io.EOF), key == keyInterrupt, key == keyEnd:
			return nil, errNoPassword
		case err != nil:
			return nil, err
		case key == '\r', key == '\n':
			return line, nil
		case key == keyBackspace, key == keyDelete:
			_, n := utf8.DecodeLastRune(line)
			line = line[:len(line)-n]
		case key == keyErase:
			line = line[:0]
		case len(line) <= most:
			line = append(line, key)
		}
	}
}
