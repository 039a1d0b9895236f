package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// spelledOut replaces what other programs take in the place of our commands.
func spelledOut(args []string) []string {
	if len(args) == 0 {
		return args
	}
	switch args[0] {
	case "--version", "-v", "-V":
		return append([]string{"version"}, args[1:]...)
	case "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// withDefault is the help of a flag, with its default if the text has none.
func withDefault(v *kong.Value) string {
	text := kong.DefaultHelpValueFormatter(v)
	if v.HasDefault && v.Default != "" && v.Default != "false" && !strings.Contains(strings.ToLower(text), "default") {
		text = strings.TrimSuffix(text, ".") + ". Default: " + v.Default + "."
	}
	return text
}

// suggestion returns the command that the first word of args may stand for that is none,
// "" if no command is like it. Below a command with commands it looks at those.
func suggestion(at *kong.Node, args []string) string {
	for _, word := range args {
		if strings.HasPrefix(word, "-") {
			return ""
		}
		best, least := "", mostEdits+1
		for _, child := range at.Children {
			if child.Name == word {
				best, least, at = "", mostEdits+1, child
				break
			}
			if n := edits(word, child.Name); n < least {
				best, least = child.Name, n
			}
		}
		if at.Name == word {
			continue
		}
		return best
	}
	return ""
}

// mostEdits is how many letters a mistyped command may differ by.
const mostEdits = 2

// edits is the number of letters to put in, take out or replace to make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			n := before
			if a[i] != b[j] {
				n = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], n
		}
	}
	return row[len(b)]
}
