package main

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
)

// accountingLog writes an accounting log of two processes, the first of which was killed, in two
// files, and returns their directory.
func accountingLog(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const header = "type,timeLogged,timeQueued,orig,rcpt,dsnDiag,dlvSize,account,provider,class,hint,messageId,session,totalMs,process,sequence,aboutProcess,firstSequence,lastSequence,count\n"
	old, err := os.Create(filepath.Join(dir, "accounting-2026-11-30T16-30-00.000-size.csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	z := gzip.NewWriter(old)
	if _, err := z.Write([]byte(header +
		"start,2026-11-30T16:00:00.000Z,,,,,,,,,,,,,a,,,,0,0\n" +
		"d,2026-11-30T16:00:01.000Z,2026-11-30T16:00:00.000Z,news@x.example,Ann@y.example,smtp;250 2.0.0 OK,1000,one,gmail,,,<1@x.example>,1,12.5,a,1,,,,\n" +
		"b,2026-11-30T16:00:01.000Z,2026-11-30T16:00:00.000Z,news@x.example,bob@y.example,smtp;550 5.1.1 no such user,1000,one,gmail,refused,,<1@x.example>,1,12.5,a,2,,,,\n" +
		"drop,2026-11-30T16:00:02.000Z,,,,,,,,buffer,,,,,a,,,3,7,5\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	apptest.WriteFile(t, filepath.Join(dir, "accounting.csv"), header+
		"start,2026-11-30T17:00:00.000Z,,,,,,,,,,,,,b,,a,,7,57\n"+
		"t,2026-11-30T17:00:01.000Z,2026-11-30T17:00:01.000Z,news@x.example,Ann@y.example,smtp;450 4.7.1 paused,,two,outlook,paused,account-paused,<2@x.example>,1,,b,1,,,,\n"+
		"d,2026-11-30T17:00:0\n"+
		"d,2026-11-30T17:00:02.000Z,2026-11-30T17:00:01.000Z,news@x.example,carl@y.example,smtp;250 2.0.0 OK,500,two,outlook,,,<3@x.example>,2,2,b,2,,,,\n")
	return dir
}

func TestReport(t *testing.T) {
	dir := accountingLog(t)
	flat := func(code int, args ...string) string {
		return strings.Join(strings.Fields(mustRun(t, code, append([]string{"report"}, args...)...)), " ")
	}
	apptest.CheckParts(t, flat(0, dir), "provider class delivered refused deferred recipients messages octets maybe_accepted late",
		"gmail 1 0 0 1 1 1000 0 0", "gmail refused 0 1 0 1 0 0 0 0", "outlook paused 0 0 1 1 0 0 0 0", "total 2 1 1 4 2 1500 0 0",
		"4 records of 2 processes in 2 files", "process a: 5 records were dropped, as it says; 57 records were lost when it was killed, as the next one says",
		"process b: no end yet", "1 lines are no record", "accounting.csv:4: no record: the line has 2 fields, the header 20")
	apptest.CheckParts(t, flat(0, dir, "--by", "account,hour", "--from", "2026-11-30T16:30", "--to", "2026-12-01"), "two 2026-11-30T17:00Z 1 0 1 2 1 500", "total 1 0 1 2 1 500")
	apptest.CheckParts(t, flat(0, dir, filepath.Join(dir, "accounting.csv"), "--phases"), "total_p50_ms", "total 2 1 1 4 2 1500", "passed over: cannot read "+dir)
	code, stdout, stderr := runCLI(t, "report", dir, "--by", "account", "--csv")
	rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if code != 0 || err != nil || len(rows) != 3 || rows[0][0] != "account" || rows[2][1] != "1" || !strings.Contains(stderr, "57 records were lost") {
		t.Errorf("%d: %q, %v, %s", code, rows, err, stderr)
	}
	var sums struct {
		Groups    []map[string]any
		Total     map[string]any
		Damaged   int `json:"lines_damaged"`
		Processes []map[string]any
	}
	_, stdout, _ = runCLI(t, "report", dir, "--by", "tenant", "--phases", "--json")
	if err := json.Unmarshal([]byte(stdout), &sums); err != nil || len(sums.Groups) != 1 || sums.Total["recipients"] != 4.0 || sums.Damaged != 1 ||
		len(sums.Processes) != 2 || sums.Processes[0]["lost"] != 57.0 || sums.Processes[0]["state"] != "killed" || sums.Total["total_p95_ms"].(float64) < 12.5 {
		t.Errorf("%s, %v", stdout, err)
	}
	for _, tt := range []struct {
		code int
		args []string
		want string
	}{
		{exitUsage, []string{dir, "--by", "nothing"}, `"nothing" is none of account, class`},
		{exitUsage, []string{dir, "--from", "yesterday"}, `"yesterday" is no time such as`},
		{exitUsage, nil, "expected \"<files> ...\""},
		{exitFailure, []string{filepath.Join(dir, "none"), dir}, "4 records of 2 processes"},
	} {
		apptest.CheckParts(t, flat(tt.code, tt.args...), tt.want)
	}
}

func TestReportFind(t *testing.T) {
	dir := accountingLog(t)
	const ann, both = "Ann@Y.Example", "news@x.example"
	for _, tt := range []struct {
		args  []string
		found int
	}{
		{[]string{ann}, 2}, {[]string{"ann@y.example"}, 0}, {[]string{"ann@y.example", "-i"}, 2}, {[]string{both}, 4}, {[]string{"1@x.example"}, 2},
		{[]string{ann, "--from", "2026-11-30T17:00"}, 1}, {[]string{"nobody@y.example"}, 0},
	} {
		code := 0
		if tt.found == 0 {
			code = exitFailure
		}
		args := append([]string{"report", dir, "--find"}, tt.args...)
		if n := strings.Count(mustRun(t, code, args...), "\ntype "); n != tt.found {
			t.Errorf("%q: %d records, want %d", tt.args, n, tt.found)
		}
		_, stdout, stderr := runCLI(t, append(args, "--json")...)
		var list []map[string]string
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || list == nil || len(list) != tt.found {
			t.Errorf("%q: %s, %v", tt.args, stdout, err)
		}
		apptest.CheckParts(t, stderr, "57 records were lost") // one of them may be about it
		_, stdout, _ = runCLI(t, append(args, "--csv")...)
		if rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll(); err != nil || len(rows) != tt.found+1 || rows[0][0] != "file" {
			t.Errorf("%q: %s, %v", tt.args, stdout, err)
		}
	}
	apptest.CheckParts(t, strings.Join(strings.Fields(mustRun(t, 0, "report", dir, "--find", ann)), " "),
		"accounting-2026-11-30T16-30-00.000-size.csv.gz line 3 became delivered", "accounting.csv line 3 became deferred", "hint account-paused",
		"cause an operator has paused", "remedy resume the account", "/resume")
	apptest.CheckParts(t, mustRun(t, exitFailure, "report", dir, "--find", "nobody"), `no record is about "nobody"`)
}

// TestReportInput reads standard input.
func TestReportInput(t *testing.T) {
	code, stdout, stderr := withInput(t, `{"type":"d","account":"one","process":"a","sequence":1}`+"\n{\n", "report", "-", "--by", "account")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	apptest.CheckParts(t, strings.Join(strings.Fields(stdout+stderr), " "), "total 1 0 0 1", "standard input:2: no record: the line is not whole JSON")
}
