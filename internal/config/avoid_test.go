package config

import (
	"testing"

	"xoauth2-proxy/internal/account"
)

// TestAvoid: what is not used with a provider, and what messages may need of it then.
func TestAvoid(t *testing.T) {
	const all = account.Ext8BITMIME | account.ExtSMTPUTF8 | account.ExtDSN | account.ExtBINARYMIME
	extensions := `"extensions": ["8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME"], `
	for _, tt := range []struct {
		name, provider, config string
		want                   account.Keywords
		extensions             account.Extensions
		report                 string
	}{
		{"nothing said", "own", `{"providers": {"own": {` + own + extensions + `}}}`, 0, all,
			"own: used where its EHLO reply announces it: SIZE, 8BITMIME, SMTPUTF8, DSN, CHUNKING, BINARYMIME, PIPELINING"},
		{"none", "own", `{"providers": {"own": {` + own + extensions + `"avoid": []}}}`, 0, all, ""},
		{"PIPELINING", "own", `{"providers": {"own": {` + own + extensions + `"avoid": ["pipelining"]}}}`, account.KeywordPIPELINING, all,
			"own: used where its EHLO reply announces it: SIZE, 8BITMIME, SMTPUTF8, DSN, CHUNKING, BINARYMIME; avoided: PIPELINING"},
		{"CHUNKING, which BINARYMIME needs", "own", `{"providers": {"own": {` + own + extensions + `"avoid": ["CHUNKING"]}}}`,
			account.KeywordCHUNKING | account.KeywordBINARYMIME, all &^ account.ExtBINARYMIME, "avoided: CHUNKING, BINARYMIME"},
		{"what messages need", "own", `{"providers": {"own": {` + own + extensions + `"avoid": ["DSN", "SMTPUTF8"]}}}`,
			account.KeywordDSN | account.KeywordSMTPUTF8, account.Ext8BITMIME | account.ExtBINARYMIME, `providers.own.avoid = ["DSN","SMTPUTF8"]: in force`},
		{"of a preset", "outlook", `{"providers": {"outlook": {"avoid": ["SIZE", "8BITMIME"]}}}`, account.KeywordSIZE | account.Keyword8BITMIME,
			all &^ account.Ext8BITMIME, "outlook: used where its EHLO reply announces it: SMTPUTF8, DSN, CHUNKING, BINARYMIME, PIPELINING; avoided: SIZE, 8BITMIME"},
		{"of the base of all others", "own", `{"providers": {"own": {` + own + `}, "default": {"avoid": ["PIPELINING"]}}}`, account.KeywordPIPELINING, account.Ext8BITMIME,
			"default: used where its EHLO reply announces it: SIZE, 8BITMIME, SMTPUTF8, DSN, CHUNKING, BINARYMIME; avoided: PIPELINING"},
		{"of another provider", "gmail", `{"providers": {"outlook": {"avoid": ["CHUNKING"]}}}`, 0, account.Ext8BITMIME | account.ExtSMTPUTF8,
			"gmail: used where its EHLO reply announces it: SIZE, 8BITMIME, SMTPUTF8, DSN, CHUNKING, BINARYMIME, PIPELINING"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, report := oneAccount(t, tt.provider, tt.config, "")
			if a.Avoid != tt.want || a.Extensions != tt.extensions {
				t.Errorf("avoided %v, extensions %b; want %v, %b", a.Avoid, a.Extensions, tt.want, tt.extensions)
			}
			checkReport(t, report, tt.report)
		})
	}
}
