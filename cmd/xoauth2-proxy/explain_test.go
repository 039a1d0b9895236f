package main

import (
	"encoding/json"
	"strings"
	"testing"

	"xoauth2-proxy/internal/hint"
)

// TestExplain: an entry is found by its name alone, and all that have a word by the word.
func TestExplain(t *testing.T) {
	text := mustRun(t, 0, "explain", "account-held")
	if !strings.HasPrefix(text, "account-held\n    why: "+hint.AccountHeld.Cause()+"\n    do:  "+hint.AccountHeld.Remedy()) ||
		strings.Count(text, "    why: ") != 1 {
		t.Error(text)
	}
	var found, all []explained
	if err := json.Unmarshal([]byte(mustRun(t, 0, "explain", "--json", "SmtpClientAuthenticationDisabled")), &found); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(mustRun(t, 0, "explain", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 || len(found) >= len(all) || len(all) != int(hint.NumIDs)-1 {
		t.Errorf("%d of %d entries, %d in the catalogue", len(found), len(all), hint.NumIDs-1)
	}
	for _, e := range found {
		if !strings.Contains(strings.ToLower(e.Cause+e.Remedy+e.How), "smtpclientauthenticationdisabled") {
			t.Errorf("%+v", e)
		}
	}
	mustRun(t, 1, "explain", "no such thing")
}
