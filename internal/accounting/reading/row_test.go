package reading

import (
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/accounting"
)

// TestFields: each field that is read by name is one that is written.
func TestFields(t *testing.T) {
	for f := range numFields {
		if !slices.ContainsFunc(accounting.Fields(), func(w accounting.Field) bool { return w.Name == f.String() }) {
			t.Errorf("no record has %q", f)
		}
	}
}

// read reads a text as a file, and returns its rows as "field=value ...", and what is wrong as
// "line: why".
func read(t *testing.T, text string, found bool) (rows, wrong []string, err error) {
	t.Helper()
	r := Reader{
		Record: func(w *Row) {
			var parts []string
			for i, v := range w.Values {
				if v != "" {
					parts = append(parts, w.Names[i]+"="+v)
				}
			}
			rows = append(rows, strings.Join(parts, " "))
		},
		Damaged: func(at Place, err error) { wrong = append(wrong, at.String()+": "+err.Error()) },
	}
	err = r.content("f", strings.NewReader(text), found)
	return rows, wrong, err
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, tt := range []struct {
		name, text  string
		rows, wrong []string
	}{
		{name: "nothing"},
		{"any choice of fields", "rcpt,type\na@x,d\nb@x,b\n", []string{"rcpt=a@x type=d", "rcpt=b@x type=b"}, nil},
		{"RFC 4180's line ends, a byte order mark, empty lines", "\xef\xbb\xbftype,rcpt\r\n\r\nd,a@x\r\n\n", []string{"type=d rcpt=a@x"}, nil},
		{"quotation", "type,rcpt,dsnDiag\nd,\"\"\"a,b\"\"@x\",\"smtp;250, \"\"ok\"\"\"\n", []string{`type=d rcpt="a,b"@x dsnDiag=smtp;250, "ok"`}, nil},
		{"escapes", "type,rcpt,dsnDiag\nd,\"'=1@x\",\"a\\x0ab\\\\c\"\n", []string{"type=d rcpt==1@x dsnDiag=a\nb\\c"}, nil},
		{"another header", "type,rcpt\nd,a@x\nrcpt,orig,type\nb@x,c@x,t\n", []string{"type=d rcpt=a@x", "rcpt=b@x orig=c@x type=t"}, nil},
		{"fields of others", "extra,type,rcpt\n1,d,a@x\n", []string{"extra=1 type=d rcpt=a@x"}, nil},
		{"JSON", `{"type":"d","rcpt":"a\u0040x","dlvSize":12,"maybeAccepted":true,"hint":null}` + "\n { }\n", []string{"type=d rcpt=a@x dlvSize=12 maybeAccepted=true"}, []string{"f:2: no line with the names of the fields comes before it"}},
		{"JSON with spaces", "{ \"type\" : \"d\" , \"code\" : 250 }\n{}\n", []string{"type=d code=250"}, []string{"f:2: " + errType.Error()}},
		{"JSON and CSV", "type,rcpt\nd,a@x\n{\"type\":\"b\"}\nd,c@x\n", []string{"type=d rcpt=a@x", "type=b", "type=d rcpt=c@x"}, nil},
		{"cut off", "type,rcpt\nd,a@x\nd,b@", []string{"type=d rcpt=a@x"}, []string{"f:3: the line is cut off"}},
		{"cut off in the middle of a file", "type,rcpt\nd,a@x\nb\nd,b@x\n{\"type\":\"d\n{\"type\":\"t\"}\n", []string{"type=d rcpt=a@x", "type=d rcpt=b@x", "type=t"},
			[]string{"f:3: the line has 1 fields, the header 2", "f:5: the line is not whole JSON"}},
		{"foreign", "type,rcpt\nhello, world\nd,\"a\nd,a\"b\nd,\"a\"b\nd,\x00\nd,\xff\nd,c@x\n", []string{"type=d rcpt=c@x"},
			[]string{"f:2: " + errType.Error(), "f:3: " + errQuote.Error(), "f:4: " + errQuote.Error(), "f:5: " + errQuote.Error(), "f:6: the line is not text", "f:7: the line is not text"}},
		{"values of others", "type,sequence,timeLogged,waitMs\nd,-1,,\nd,,yesterday,\nd,,,NaN\nd,1,2026-11-30T17:00:00.123Z,0.250\n",
			[]string{"type=d sequence=1 timeLogged=2026-11-30T17:00:00.123Z waitMs=0.250"}, []string{"f:2: sequence is none", "f:3: timeLogged is none", "f:4: waitMs is none"}},
		{"no header", "d,a@x\nd,b@x\n", nil, []string{"f:1: " + errNoHeader.Error(), "f:2: " + errNoHeader.Error()}},
		{"nested JSON", `{"type":"d","x":{"y":1}}` + "\n" + `{"type":["d"]}` + "\n", nil, []string{"f:1: " + errNested.Error(), "f:2: " + errNested.Error()}},
		{"a line that is too long", "type,rcpt\nd," + long + "\nd,a@x\n", []string{"type=d rcpt=a@x"}, []string{"f:2: " + errLong.Error()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows, wrong, err := read(t, tt.text, false)
			if err != nil {
				t.Error(err)
			}
			if !slices.Equal(rows, tt.rows) {
				t.Errorf("rows %q, want %q", rows, tt.rows)
			}
			if !slices.Equal(wrong, tt.wrong) {
				t.Errorf("wrong %q, want %q", wrong, tt.wrong)
			}
		})
	}
}

// TestFound: of a directory, files of others are passed over.
func TestFound(t *testing.T) {
	for text, foreign := range map[string]bool{
		"type,rcpt\nd,a@x\n": false, `{"type":"d"}` + "\n": false, "": false,
		"hello\n": true, `{"listeners": []}` + "\n": true, "{\n": true,
	} {
		_, wrong, err := read(t, text, true)
		if (err != nil) != foreign || len(wrong) > 0 {
			t.Errorf("%q: %v, %v", text, err, wrong)
		}
	}
}

// TestGet has a field that a record does not have, after one that does.
func TestGet(t *testing.T) {
	var w Row
	for _, line := range []string{
		`{"type":"d","session":18446744073709551615,"timeLogged":"2026-11-30T17:00:00.250Z","waitMs":1.5}`, `{"type":"b"}`,
	} {
		if _, err := w.parse(line); err != nil {
			t.Fatal(err)
		}
		wait, timed := w.Millis(WaitMs)
		first := w.Get(Type) == "d"
		if got := w.Number(Session) == 1<<64-1; got != first {
			t.Errorf("session %d in %s", w.Number(Session), line)
		}
		if got := w.Time(TimeLogged).Equal(time.Date(2026, 11, 30, 17, 0, 0, 250e6, time.UTC)); got != first {
			t.Errorf("time %v in %s", w.Time(TimeLogged), line)
		}
		if timed != first || first && wait != 1500*time.Microsecond {
			t.Errorf("wait %v, %v in %s", wait, timed, line)
		}
	}
}
