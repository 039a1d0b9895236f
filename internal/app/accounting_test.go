package app

import (
	"encoding/csv"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/testkit"
)

// accounted returns the records of a file of the accounting log, by the names of the fields.
func accounted(t *testing.T, path string) (records []map[string]string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(apptest.ReadAll(t, path))).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%s: %d lines, %v", path, len(rows), err)
	}
	for _, row := range rows[1:] {
		r := make(map[string]string)
		for i, name := range rows[0] {
			r[name] = row[i]
		}
		records = append(records, r)
	}
	return records
}

// TestAccounting has a message in the accounting log, which SIGHUP opens anew, and in which
// the end of the proxy stands.
func TestAccounting(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	path := filepath.Join(accountingDir(s.Files), "accounting.csv")
	deliver := func() {
		t.Helper()
		if err := apptest.Deliver(s.ClientAddrs()[0].String(), "user@gmail.com", "x", "hello"); err != nil {
			t.Fatal(err)
		}
	}
	deliver()
	testkit.Eventually(t, "the record is on the disk", func() bool { b, _ := os.ReadFile(path); return strings.Contains(string(b), "\nd,") })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.live.hangup()
	deliver()
	s.End()
	before, after := accounted(t, path+".1"), accounted(t, path)
	if len(before) != 2 || len(after) != 2 || before[0]["type"] != "start" || after[1]["type"] != "end" || after[1]["lastSequence"] != "2" {
		t.Fatalf("%v, then %v", before, after)
	}
	for i, r := range []map[string]string{before[1], after[0]} {
		if r["type"] != "d" || r["email"] != "user@gmail.com" || r["provider"] != "gmail" || r["verdictBy"] != "provider" || r["sequence"] != []string{"1", "2"}[i] {
			t.Errorf("%v", r)
		}
	}
}

// TestAccountingFails: mail goes on, and /ready is as it was, while the accounting log cannot
// be written.
func TestAccountingFails(t *testing.T) {
	s := newStack(t, "user@gmail.com")
	path := filepath.Join(accountingDir(s.Files), "accounting.csv")
	testkit.Eventually(t, "the log has begun", func() bool { _, err := os.Stat(path); return err == nil })
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := apptest.Deliver(s.ClientAddrs()[0].String(), "user@gmail.com", "x", "hello"); err != nil {
		t.Error(err)
	}
	s.WaitLog(1, "cannot write the accounting log: records are dropped")
	s.Want(http.StatusOK, nil, http.MethodGet, "/ready", "")
	s.Want(http.StatusOK, []string{`accounting_dropped_total{cause="error"} 1`}, http.MethodGet, "/metrics", "")
}
