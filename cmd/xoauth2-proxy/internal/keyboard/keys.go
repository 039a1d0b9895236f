// Package keyboard asks the person at the terminal, and reads secrets and passwords.
package keyboard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// AtTerminal reports whether a person can answer a question.
func AtTerminal() bool { return term.IsTerminal(int(os.Stdin.Fd())) }

// Confirmed asks the person at the terminal, and returns true for "y" or "yes".
func Confirmed(question string) bool {
	fmt.Fprintf(os.Stderr, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(os.Stdin).ReadString('\n') // the end of the input is no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
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
