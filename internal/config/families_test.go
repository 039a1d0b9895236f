package config

import (
	"slices"
	"strings"
	"testing"
)

// TestFamilyNotes: check says which addresses take clients of one family only.
func TestFamilyNotes(t *testing.T) {
	const allow = `, "allow": ["10.0.0.0/8"]}`
	for config, want := range map[string][]string{
		`{}`: nil,
		`{"listeners": [{"address": "127.0.0.1:25"}, {"address": "[::1]:25"}]}`:                        nil,
		`{"listeners": [{"address": "0.0.0.0:25"` + allow + `]}`:                                       {"0.0.0.0:25 takes IPv4 only", "listen on [::]:25 too"},
		`{"listeners": [{"address": "[::]:25"` + allow + `]}`:                                          {"[::]:25 takes IPv6 only", "listen on 0.0.0.0:25 too"},
		`{"listeners": [{"address": "[::]:25"` + allow + `, {"address": "0.0.0.0:25"` + allow + `]}`:   nil,
		`{"admin": {"address": "[::]:9090", "token": "0123456789abcdef"}}`:                             {"[::]:9090 takes IPv6 only"},
		`{"listeners": [{"address": "[::]:25"` + allow + `, {"address": "0.0.0.0:2525"` + allow + `]}`: {"[::]:25 takes IPv6 only", "0.0.0.0:2525 takes IPv4 only"},
	} {
		_, _, report := mustLoad(t, config, "")
		lines := slices.DeleteFunc(report.Lines(), func(l string) bool { return !strings.Contains(l, " only; before") })
		text := strings.Join(lines, "\n")
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %q in %q", config, part, text)
			}
		}
		if want == nil && text != "" {
			t.Errorf("%s: %s", config, text)
		}
	}
}
