package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/forecast"
)

// TestForecast asks a running proxy what ends, and then reads the files.
func TestForecast(t *testing.T) {
	s := newStack(t, "user@gmail.com", "user2@gmail.com", "user@outlook.com")
	text := apptest.ReadAll(t, s.Files.Accounts)
	changed := strings.ReplaceAll(text, `"client_secret": "`, `"client_secret_expires": "2001-01-01", "client_secret": "`)
	if changed == text {
		t.Fatal(text)
	}
	apptest.WriteFile(t, s.Files.Accounts, changed)
	s.Want(200, nil, "POST", "/admin/reload", "")
	list := with(s.Files, "forecast")
	said := mustRun(t, 0, list...)
	apptest.CheckParts(t, said, "2001-01-01T00:00:00Z  client_secret: client_id ", "gmail, user2@gmail.com and 1 other account\n", "    do:   make a new secret", "ca_certificate: ")
	if strings.Contains(said, "user@gmail") {
		t.Error(said)
	}
	apptest.CheckParts(t, mustRun(t, exitForecast, append(list, "--within", "1d", "--all", "--csv")...), "at,kind,of,fails,remedy,assumes\n", "user@gmail.com", "user2@gmail.com")
	apptest.CheckParts(t, mustRun(t, exitUsage, append(list, "--within", "soon")...), `--within: "soon" is no time`)
	asked := forecastOf(t, mustRun(t, exitForecast, append(list, "--within", "30d", "--json")...))
	if e := asked.Endings; len(e) != 1 || e[0].Kind != forecast.ClientSecret || len(e[0].Accounts) != 2 || e[0].Hint != "client-secret-expired" {
		t.Errorf("%+v", asked)
	}
	s.End()
	read := forecastOf(t, mustRun(t, exitForecast, append(list, "--within", "30d", "--json")...))
	if len(read.Endings) != 1 || len(read.Endings[0].Accounts) != 2 {
		t.Errorf("%+v", read)
	}
	apptest.CheckParts(t, mustRun(t, 0, list...), "note: oauth.token_store is not set", "note: state_dir is not set")
	if err := os.Remove(s.Files.Accounts); err != nil {
		t.Fatal(err)
	}
	apptest.CheckParts(t, mustRun(t, exitConfig, list...), filepath.Base(s.Files.Accounts))
}

func forecastOf(t *testing.T, said string) (f forecast.Forecast) {
	t.Helper()
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&f); err != nil {
		t.Fatalf("%s: %v", said, err)
	}
	return f
}
