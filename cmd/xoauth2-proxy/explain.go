package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"xoauth2-proxy/cmd/xoauth2-proxy/internal/table"
	"xoauth2-proxy/internal/hint"
)

// explainCmd shows entries of the catalogue of hints.
type explainCmd struct {
	table.Form
	What []string `arg:"" optional:"" help:"A hint_id, as log lines, records and answers have it, or words to look for. Default: the whole catalogue."`
}

// explained is an entry in JSON.
type explained struct {
	ID     string `json:"hint_id"`
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	How    string `json:"how"`
}

// Run implements the command.
func (c *explainCmd) Run() error {
	found := lookUp(strings.Join(c.What, " "))
	if len(found) == 0 {
		return errors.New("the catalogue has nothing like that: without an argument this command shows all of it")
	}
	return c.show(os.Stdout, found)
}

// lookUp returns the entry of that name, or else all that have the text, in any case of letters.
func lookUp(text string) (found []explained) {
	text = strings.ToLower(text)
	_, named := hint.Parse(text)
	for id := range hint.All() {
		e := explained{id.String(), id.Cause(), id.Remedy(), id.How()}
		all := strings.ToLower(strings.Join([]string{e.ID, e.Cause, e.Remedy, e.How}, " "))
		if e.ID == text || !named && strings.Contains(all, text) {
			found = append(found, e)
		}
	}
	return found
}

// show writes the entries.
func (c *explainCmd) show(w io.Writer, found []explained) error {
	var text strings.Builder
	rows := make([][]string, len(found))
	for i, e := range found {
		rows[i] = []string{e.ID, e.Cause, e.Remedy, e.How}
		fmt.Fprintf(&text, "%s\n    why: %s\n    do:  %s\n", e.ID, e.Cause, e.Remedy)
		for line := range strings.Lines(e.How) {
			fmt.Fprintf(&text, "    how: %s\n", strings.TrimSpace(line))
		}
	}
	if c.JSON || c.CSV {
		return c.Write(w, []string{"hint_id", "cause", "remedy", "how"}, rows, found)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
