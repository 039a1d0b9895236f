package accounting

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
)

var (
	someAccount = &account.Account{ID: "gmail_user", Email: "user@example.com", Provider: "gmail", VMTA: "vmta1"}
	someTime    = time.Date(2026, 11, 30, 23, 59, 59, 987_654_321, time.UTC)
)

// someRecord is a record with a value in every field.
func someRecord() *Record {
	return &Record{
		Kind: Refused, Queued: someTime, Began: someTime.Add(1500 * time.Microsecond), Left: someTime.Add(2 * time.Millisecond), Done: someTime.Add(time.Second),
		Account: someAccount, Session: 77, Client: netip.MustParseAddr("192.0.2.1"), Listener: "127.0.0.1:2525",
		Connection: 5, Local: netip.MustParseAddrPort("192.0.2.9:40000"), Remote: netip.MustParseAddrPort("[2001:db8::1]:587"),
		Upstream: "smtp.example.com:587", Attempts: 2,
		From: []byte("sender@example.com"), Rcpt: []byte("user@example.org"), ORcpt: []byte("rfc822;User@example.org"),
		EnvID: []byte("QQ314159"), MessageID: []byte("<1@example.com>"), Size: 1234,
		Reply:      codec.Reply{Code: 550, Enhanced: codec.EnhancedCode{5, 1, 1}, Text: "No such user,\nsee \"x\""},
		ByProvider: true, MaybeAccepted: true, Late: true, Phase: "rcpt", Class: "refused",
	}
}

// encoded returns the lines of records in a format.
func encoded(t testing.TB, isJSON bool, fields []string, records ...*Record) []byte {
	t.Helper()
	e := newEncoder(isJSON, fields)
	e.process, e.version = "20261130T000000.000Z-1", "v1"
	e.dst = append(e.dst, e.header()...)
	b := &batch{entries: make([]entry, 0, len(records)), text: make([]byte, 0, 64<<10)}
	for i, r := range records {
		if !b.put(r, uint64(i+1)) {
			t.Fatal("no room")
		}
		var w row
		b.at(i, &w)
		e.row(&w)
	}
	return e.dst
}

// wantRecord is someRecord as users see it.
var wantRecord = map[string]string{
	"type": "b", "timeLogged": "2026-12-01T00:00:00.987Z", "timeQueued": "2026-11-30T23:59:59.987Z",
	"orig": "sender@example.com", "rcpt": "user@example.org", "orcpt": "rfc822;User@example.org",
	"dsnAction": "failed", "dsnStatus": "5.1.1", "dsnDiag": `smtp;550 5.1.1 No such user, see "x"`, "dsnMta": "smtp.example.com (2001:db8::1)",
	"bounceCat": "bad-mailbox", "srcType": "smtp", "srcMta": "192.0.2.1", "dlvType": "smtp", "dlvSourceIp": "192.0.2.9",
	"dlvDestinationIp": "2001:db8::1", "dlvSize": "1234", "vmta": "vmta1", "envId": "QQ314159",
	"account": "gmail_user", "email": "user@example.com", "tenant": "example.com", "provider": "gmail", "code": "550", "verdictBy": "provider",
	"phase": "rcpt", "class": "refused", "messageId": "<1@example.com>", "maybeAccepted": "true", "late": "true", "attempts": "2",
	"waitMs": "1.500", "sendMs": "0.500", "answerMs": "998.000", "totalMs": "1000.000",
	"session": "77", "connection": "5", "listener": "127.0.0.1:2525", "upstream": "smtp.example.com:587",
	"process": "20261130T000000.000Z-1", "sequence": "1",
}

// TestFormats has the same values in both formats, under PowerMTA's names and in its order.
func TestFormats(t *testing.T) {
	rows, err := csv.NewReader(bytes.NewReader(encoded(t, false, nil, someRecord()))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%q, %v", rows, err)
	}
	const powerMTA = "type,timeLogged,timeQueued,orig,rcpt,orcpt,dsnAction,dsnStatus,dsnDiag,dsnMta,bounceCat,srcType,srcMta," +
		"dlvType,dlvSourceIp,dlvDestinationIp,dlvEsmtpAvailable,dlvSize,vmta,jobId,envId,"
	if header := strings.Join(rows[0], ","); !strings.HasPrefix(header, powerMTA) {
		t.Errorf("the header is %s", header)
	}
	for i, name := range rows[0] {
		if got := Plain(rows[1][i]); got != wantRecord[name] {
			t.Errorf("CSV: %s is %q, want %q", name, got, wantRecord[name])
		}
	}
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(encoded(t, true, nil, someRecord())))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil || len(object) != len(wantRecord) {
		t.Fatalf("%v, %v", object, err)
	}
	for name, want := range wantRecord {
		if got := fmt.Sprint(object[name]); got != want {
			t.Errorf("JSON: %s is %q, want %q", name, got, want)
		}
	}
}

// TestFieldsChosen has fields in the order of the configuration, and lines for records
// without a value.
func TestFieldsChosen(t *testing.T) {
	fields := []string{"sequence", "rcpt", "type"}
	if got, want := string(encoded(t, false, fields, someRecord())), "sequence,rcpt,type\n1,user@example.org,b\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := string(encoded(t, true, fields, someRecord())), `{"sequence":1,"rcpt":"user@example.org","type":"b"}`+"\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for isJSON, want := range map[bool]string{false: "rcpt\n\"\"\n", true: "{}\n"} {
		if got := string(encoded(t, isJSON, []string{"rcpt"}, &Record{Kind: Delivered})); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSpreadsheets has no field that a spreadsheet runs.
func TestSpreadsheets(t *testing.T) {
	for _, text := range []string{"=1+2", "+1", "-1", "@SUM(A1)", "'=1", "''@x", "\t=1", "\r=1"} {
		r := someRecord()
		r.Rcpt = []byte(text)
		rows, err := csv.NewReader(bytes.NewReader(encoded(t, false, []string{"rcpt"}, r))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if got := rows[1][0]; strings.ContainsAny(got[:1], "=+-@\t\r") {
			t.Errorf("%q is a formula", got)
		}
		if got := Plain(rows[1][0]); got != text {
			t.Errorf("%q stands for %q, want %q", rows[1][0], got, text)
		}
	}
}

// TestCategories has the category of refusals.
func TestCategories(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		code  codec.EnhancedCode
		text  string
		class string
		want  string
	}{
		{Delivered, codec.EnhancedCode{2, 0, 0}, "OK, no spam", "message", ""},
		{Refused, codec.EnhancedCode{5, 1, 1}, "no such user", "message", "bad-mailbox"},
		{Refused, codec.EnhancedCode{5, 1, 2}, "no such domain", "message", "bad-domain"},
		{Refused, codec.EnhancedCode{5, 2, 1}, "disabled", "message", "inactive-mailbox"},
		{Refused, codec.EnhancedCode{5, 2, 2}, "full", "message", "quota-issues"},
		{Refused, codec.EnhancedCode{5, 2, 0}, "STOREDRV; SubmissionQuotaExceededException", "message", "quota-issues"},
		{Refused, codec.EnhancedCode{5, 7, 1}, "not allowed", "message", "policy-related"},
		{Refused, codec.EnhancedCode{5, 7, 1}, "looks like SPAM", "message", "spam-related"},
		{Refused, codec.EnhancedCode{5, 7, 0}, "a virus", "message", "virus-related"},
		{Refused, codec.EnhancedCode{5, 3, 4}, "too big", "message", "content-related"},
		{Deferred, codec.EnhancedCode{4, 4, 1}, "no answer", "message", "no-answer-from-host"},
		{Deferred, codec.EnhancedCode{4, 4, 2}, "lost", "message", "bad-connection"},
		{Deferred, codec.EnhancedCode{4, 5, 1}, "", "message", "protocol-errors"},
		{Deferred, codec.EnhancedCode{}, "busy", "message", "other"},
		{Deferred, codec.EnhancedCode{4, 3, 0}, "later", "messages_day", "quota-issues"},
		{Deferred, codec.EnhancedCode{4, 4, 0}, "later", "dns", "routing-errors"},
		{Deferred, codec.EnhancedCode{4, 3, 2}, "later", "timeout", "no-answer-from-host"},
	} {
		w := &row{kind: c.kind, entry: &entry{enhanced: c.code, byProvider: c.class == "message"}}
		w.texts[textReply], w.texts[textClass] = []byte(c.text), []byte(c.class)
		if got := categoryOf(w); got != c.want {
			t.Errorf("%c %v %q: %q, want %q", c.kind, c.code, c.text, got, c.want)
		}
	}
}

// FuzzText has any text come back from both formats, on one line.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "a,b", `"`, `""`, "a\r\nb", "\x00", "\xff\xfe", "é", "\u0085", "\u2028", "=1+1", "'=1", `\`, `\x41`, `\\x41`, `\\`, "\xef\xbb\xbf", " a ", `\.`, "#", "\x7f"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > maxField || len(b) > maxField {
			t.Skip("longer than a record takes")
		}
		r := &Record{Kind: Deferred, Rcpt: []byte(a), Reply: codec.Reply{Code: 450, Text: b}}
		fields := []string{"rcpt", "dsnDiag", "orig"}
		diag := strings.ReplaceAll("smtp;450 "+b, "\n", " ")
		if b == "" {
			diag = "smtp;450"
		}
		out := encoded(t, false, fields, r)
		rows, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 3 || bytes.Count(out, []byte("\n")) != 2 {
			t.Fatalf("%q is read as %q, %v", out, rows, err)
		}
		if Plain(rows[1][0]) != a || Plain(rows[1][1]) != diag {
			t.Fatalf("%q stands for %q and %q, want %q and %q", out, Plain(rows[1][0]), Plain(rows[1][1]), a, diag)
		}
		if !utf8.Valid(out) || bytes.ContainsFunc(out, func(r rune) bool { return r != '\n' && (r < ' ' || r == 0x7f) }) {
			t.Fatalf("%q has odd octets", out)
		}
		out = encoded(t, true, fields, r)
		var got struct {
			Rcpt    string `json:"rcpt"`
			DSNDiag string `json:"dsnDiag"`
		}
		if err := json.Unmarshal(out, &got); err != nil || bytes.Count(out, []byte("\n")) != 1 {
			t.Fatalf("%q: %v", out, err)
		}
		if utf8.ValidString(a) && got.Rcpt != a || utf8.ValidString(diag) && got.DSNDiag != diag {
			t.Fatalf("%q has %q and %q, want %q and %q", out, got.Rcpt, got.DSNDiag, a, diag)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, isJSON := range []bool{false, true} {
		b.Run(fmt.Sprintf("json=%v", isJSON), func(b *testing.B) {
			e := newEncoder(isJSON, nil)
			e.process = "20261130T000000.000Z-1"
			batch := newBatch()
			r := someRecord()
			r.Kind, r.Reply = Delivered, codec.Reply{Code: 250, Enhanced: codec.EnhancedCode{2, 0, 0}, Text: "OK  1764525599 d2e1a72fcca58-7d15e7db416sm14097155b3a.42 - gsmtp"}
			batch.put(r, 1)
			var w row
			b.ReportAllocs()
			for b.Loop() {
				e.dst = e.dst[:0]
				batch.at(0, &w)
				e.row(&w)
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	l := &Log{filling: newBatch(), begun: make(chan struct{}, 1), half: make(chan struct{}, 1)}
	r := someRecord()
	b.ReportAllocs()
	for b.Loop() {
		if l.Put(r); len(l.filling.entries) == maxRecords/2 {
			l.filling.reset()
		}
	}
}
