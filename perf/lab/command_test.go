package lab

import "testing"

func TestCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"go run ./perf":                    nil,
		"go run ./perf x --time 5s":        {"x", "--time", "5s"},
		`go run ./perf 'a b' '{"c":1}' ''`: {"a b", `{"c":1}`, ""},
		`go run ./perf 'it'\''s'`:          {"it's"},
	} {
		if got := commandLine(args); got != want {
			t.Errorf("%q: %s, want %s", args, got, want)
		}
	}
}
