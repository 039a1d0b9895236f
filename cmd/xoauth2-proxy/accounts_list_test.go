package main

import (
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// TestAccountsListStates asks a running proxy which accounts do not work.
func TestAccountsListStates(t *testing.T) {
	s := newStack(t, "user@gmail.com", "dead@gmail.com", "user@outlook.com")
	s.Provider.RevokeGrant("dead@gmail.com")
	if c, err := s.Client("dead@gmail.com"); err == nil {
		_ = c.Close()
		t.Error("it logs in")
	}
	list := append(with(s.Files, "accounts", "list"), "--state")
	said := mustRun(t, 0, append(list, "broken")...)
	apptest.CheckParts(t, said, "state", "dead@gmail.com", "refused")
	if strings.Contains(said, "user@") {
		t.Error(said)
	}
	apptest.CheckParts(t, mustRun(t, 0, append(list, "all", "--provider", "outlook", "--json")...), `"email": "user@outlook.com"`, `"state": "active"`)
	apptest.CheckParts(t, mustRun(t, 0, append(list, "all", "--csv")...), "email,account_id,state,until,detail\n")
	apptest.CheckParts(t, mustRun(t, exitUsage, append(list, "dead")...), `"dead" is none of active, throttled`)
	s.End()
	apptest.CheckParts(t, mustRun(t, exitFailure, append(list, "all")...), "no running proxy was found", "only a running proxy knows")
}
