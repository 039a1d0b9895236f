package reading

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzCSV: a line means what encoding/csv reads in it, and what that does not take is no record.
func FuzzCSV(f *testing.F) {
	for _, line := range []string{"", "a,b", `"a,b",c`, `"a""b"`, `"`, `""`, `a"b`, `"a"b`, ",,", `'=1,"\x0a"`} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if strings.ContainsAny(line, "\r\n") || line == "" {
			return
		}
		got, err := splitCSV(nil, line)
		want, wrong := csv.NewReader(strings.NewReader(line)).Read()
		if (err == nil) != (wrong == nil) || err == nil && !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v; want %q, %v", line, got, err, want, wrong)
		}
	})
}

// FuzzJSON: a line means what encoding/json reads in it.
func FuzzJSON(f *testing.F) {
	for _, line := range []string{`{}`, `{"type":"d","code":250}`, `{ "a\u0062" : "\"\\\n" , "b" : true }`, `{"a":null}`, `{"a":[1]}`, `{"a":"`, `{"a":1}x`, `{"a":-1.5e3,"a":""}`, "{} "} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if line == "" || line[0] != '{' || !utf8.ValidString(line) { // parse sees to that
			return
		}
		var w Row
		err := w.parseJSON(line)
		var want map[string]any
		dec := json.NewDecoder(strings.NewReader(line))
		dec.UseNumber()
		wrong := dec.Decode(&want)
		if wrong == nil && !json.Valid([]byte(line)) {
			wrong = errors.New("more than an object")
		}
		for _, v := range want {
			switch v.(type) {
			case map[string]any, []any:
				wrong = errors.Join(wrong, errors.New("nested"))
			}
		}
		if err != nil {
			if wrong == nil && !nestedTwice(line) {
				t.Errorf("%q: %v", line, err)
			}
			return
		}
		if wrong != nil {
			t.Fatalf("%q is taken, and %v", line, wrong)
		}
		got := map[string]string{}
		for i, name := range w.keys {
			got[name] = w.Values[i]
		}
		if len(got) != len(want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
		for name, v := range want {
			text := ""
			switch v := v.(type) {
			case string:
				text = v
			case json.Number:
				text = v.String()
			case bool:
				text = map[bool]string{true: "true", false: "false"}[v]
			}
			if got[name] != text {
				t.Errorf("%q: %s is %q, want %q", line, name, got[name], text)
			}
		}
	})
}

// nestedTwice reports whether a name comes twice, first with a list or an object.
func nestedTwice(line string) bool { return strings.ContainsAny(line[1:], "[{") }

// FuzzLines: whatever a file has, reading ends, and each line is a record, a header, empty or
// damaged.
func FuzzLines(f *testing.F) {
	f.Add("type,rcpt\nd,a@x\n{\"type\":\"b\"}\nx")
	f.Add("\x1f\x8b\x08\x00")
	f.Add("\x28\xb5\x2f\xfd\x00")
	f.Fuzz(func(t *testing.T, text string) {
		records, damaged := 0, 0
		r := Reader{
			Record: func(w *Row) {
				records++
				if w.Get(Type) == "" || len(w.Names) != len(w.Values) {
					t.Errorf("%q: %q of %q", text, w.Values, w.Names)
				}
			},
			Damaged: func(at Place, err error) {
				if damaged++; at.Line < 1 || err == nil {
					t.Errorf("%v: %v", at, err)
				}
			},
		}
		if err := r.content("f", strings.NewReader(text), false); err == nil && !strings.HasPrefix(text, "\x1f\x8b") && !strings.HasPrefix(text, "\x28\xb5") {
			if lines := strings.Count(text, "\n") + 1; records+damaged > lines {
				t.Errorf("%q: %d records and %d damaged lines of %d", text, records, damaged, lines)
			}
		}
	})
}
