package main

import (
	"fmt"
	"os"

	"golang.org/x/term"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/keyboard"
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
	read := keyboard.PasswordLine
	if term.IsTerminal(int(os.Stdin.Fd())) {
		read = keyboard.AskPassword
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
