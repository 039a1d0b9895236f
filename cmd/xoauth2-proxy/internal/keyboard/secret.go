package keyboard

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"xoauth2-proxy/internal/account"
)

// Secret is the source of a secret. Secrets are not on the command line, where
// every user of the machine sees them.
type Secret struct {
	Name string // as the person is asked for it
	File string // "": none; "-": standard input
	Env  string // variable of the environment
}

// Read returns the secret: from the file ("-": one line of standard input), the
// environment, or, if there is a terminal, the person at it. "" if there is none.
func (in Secret) Read(ask bool) (account.Secret, error) {
	switch {
	case in.File == "-":
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return account.Secret{}, err
		}
		return account.NewSecret(strings.TrimSpace(line)), nil
	case in.File != "":
		data, err := os.ReadFile(in.File)
		return account.NewSecret(strings.TrimSpace(string(data))), err
	case os.Getenv(in.Env) != "":
		return account.NewSecret(os.Getenv(in.Env)), nil
	case ask && term.IsTerminal(int(os.Stdin.Fd())):
		return askSecret(in.Name)
	}
	return account.Secret{}, nil
}

// maxSecret bounds a secret that is typed, in octets.
const maxSecret = 64 << 10

// askSecret asks the person at the terminal for a secret, which is not shown.
func askSecret(name string) (account.Secret, error) {
	old, err := term.MakeRaw(int(os.Stdin.Fd())) // before the question, so that no early key shows
	if err != nil {
		return account.Secret{}, err
	}
	defer term.Restore(int(os.Stdin.Fd()), old)
	text, err := typed(bufio.NewReader(os.Stdin), name+" (not shown, empty for none): ", maxSecret)
	return account.NewSecret(strings.TrimSpace(string(text))), err
}
