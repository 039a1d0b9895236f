package config

import (
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
)

func TestExtensions(t *testing.T) {
	const all = account.Ext8BITMIME | account.ExtSMTPUTF8 | account.ExtDSN | account.ExtBINARYMIME
	tests := []struct {
		name, provider, config, account string
		want                            account.Extensions
		size                            int64
		report                          string // part of a line; may be empty
	}{
		{"nothing said", "own", `{"providers": {"own": {` + own + `}}}`, ``, account.Ext8BITMIME, 35882577, ""},
		{"all", "own", `{"providers": {"own": {` + own + `"extensions": ["8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "BINARYMIME", "SIZE=36700160"]}}}`, ``,
			all, 36700160, `providers.own.extensions = ["8BITMIME","SMTPUTF8"`},
		{"as in an EHLO reply", "own", `{"providers": {"own": {` + own + `"extensions": ["dsn", "SIZE 1000"]}}}`, ``, account.ExtDSN, 1000, ""},
		{"none", "own", `{"providers": {"own": {` + own + `"extensions": []}}}`, ``, 0, 35882577, ""},
		{"null", "own", `{"providers": {"own": {` + own + `"extensions": null}}}`, ``, account.Ext8BITMIME, 35882577, ""},
		{"default is the base", "own", `{"providers": {"own": {` + own + `}, "default": {"extensions": ["8BITMIME", "DSN", "SIZE=2000"]}}}`, ``,
			account.Ext8BITMIME | account.ExtDSN, 2000, ""},
		{"of a preset", "gmail", `{"providers": {"gmail": {"extensions": ["8BITMIME", "SIZE=99999999"]}}}`, ``, account.Ext8BITMIME, 35882577, ""},
		{"less than max_message_size", "own", `{"providers": {"own": {` + own + `"extensions": ["SIZE=1000"], "max_message_size": 2000}}}`, ``, 0, 1000,
			"max_message_size = 2000: clamped: 1000 is in force: providers.own.extensions has SIZE=1000"},
		{"more than max_message_size", "own", `{"providers": {"own": {` + own + `"extensions": ["SIZE=3000"], "max_message_size": 2000}}}`, ``, 0, 2000,
			"max_message_size = 2000: in force"},
		{"less than the account's", "own", `{"providers": {"own": {` + own + `"extensions": ["SIZE=1000"]}}}`, `"max_message_size": 2000`, 0, 1000,
			"accounts[].max_message_size = 2000: clamped: 1000 is in force"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, report := oneAccount(t, tt.provider, tt.config, tt.account)
			if a.Extensions != tt.want || a.Limits.MaxMessageSize != tt.size {
				t.Errorf("extensions %b and %d octets, want %b and %d", a.Extensions, a.Limits.MaxMessageSize, tt.want, tt.size)
			}
			wantSize := int64(0) // that of a preset is no operator's
			if i := strings.Index(tt.config, "SIZE"); i >= 0 {
				_, _ = fmt.Sscanf(tt.config[i+len("SIZE="):], "%d", &wantSize)
			}
			if a.AnnouncedSize != wantSize {
				t.Errorf("SIZE %d in place of the announced one, want %d", a.AnnouncedSize, wantSize)
			}
			checkReport(t, report, tt.report)
		})
	}
}
