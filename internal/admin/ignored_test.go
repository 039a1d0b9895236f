package admin

import (
	"encoding/json"
	"slices"
	"testing"
)

// TestIgnoredFields has requests with fields that a new account does not have.
func TestIgnoredFields(t *testing.T) {
	for _, tt := range []struct {
		more string
		want []string
	}{
		{"", nil},
		{`, "Verify": false, "VMTA_NAME": "v"`, nil}, // the decoder takes them in any case
		{`, "_comment": "x"`, nil},
		{`, "tenant": "t"`, []string{"tenant"}},
		{`, "tenant": "t", "oauth_flow": "client_credentials", "scope": null`, []string{"oauth_flow", "scope", "tenant"}},
		{`, "Replaced": true, "ignored": ["x"]`, []string{"Replaced", "ignored"}},
	} {
		n := new(NewAccount)
		if err := json.Unmarshal([]byte(newJSON("a@a.test", tt.more)), n); err != nil || n.Email != "a@a.test" || n.Replaced {
			t.Errorf("%s: %v, %v", tt.more, n, err)
		}
		if got := ignoredIn(n, n); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.more, got, tt.want)
		}
	}
}
