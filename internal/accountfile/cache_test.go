package accountfile

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/split"
	"xoauth2-proxy/internal/keyfile"
)

// outcome is all that is said about a file of accounts.
type outcome struct {
	snapshot *account.Snapshot
	problems []keyfile.Problem // as they were found
	leftOut  []string          // the wrong entries
	lines    []string          // of the report
}

// coldly reads data as if it were the first time, and parses it as a whole.
func coldly(b *Basis, data []byte) outcome {
	return readFrom(new(Cache), b, asWhole(bytes.Clone(data)))
}

// read reads data as Load does with a file.
func read(c *Cache, b *Basis, data []byte) outcome {
	return readFrom(c, b, inMemory(bytes.Clone(data)))
}

func readFrom(c *Cache, b *Basis, from source) (o outcome) {
	var ps keyfile.Problems
	report := new(keyfile.Report)
	o.snapshot, _ = c.read(b, from, &ps, report)
	report.Group()
	total := new(keyfile.Report)
	total.Take(report)
	for _, p := range ps {
		o.problems = append(o.problems, *p)
	}
	o.lines = total.Lines()
	if o.snapshot != nil {
		for _, e := range o.snapshot.LeftOut() {
			o.leftOut = append(o.leftOut, fmt.Sprintf("%d %d %q %q %v", e.Index, e.Line, e.ID, e.Email, e.Err))
		}
	}
	return o
}

// same reports whether a and b say the same.
func (a outcome) same(t *testing.T, b outcome) bool {
	t.Helper()
	before := t.Failed()
	if !slices.Equal(a.problems, b.problems) {
		t.Errorf("problems\n%v\nwant\n%v", a.problems, b.problems)
	}
	if !slices.Equal(a.leftOut, b.leftOut) {
		t.Errorf("left out\n%q\nwant\n%q", a.leftOut, b.leftOut)
	}
	if !slices.Equal(a.lines, b.lines) {
		t.Errorf("report\n%s\nwant\n%s", strings.Join(a.lines, "\n"), strings.Join(b.lines, "\n"))
	}
	if (a.snapshot == nil) != (b.snapshot == nil) {
		t.Fatalf("snapshot %v, want %v", a.snapshot, b.snapshot)
	}
	if b.snapshot != nil {
		if a.snapshot.Len() != b.snapshot.Len() || a.snapshot.Extensions() != b.snapshot.Extensions() {
			t.Fatalf("%d accounts, want %d", a.snapshot.Len(), b.snapshot.Len())
		}
		for i, x := range b.snapshot.All() {
			byLogin, _ := a.snapshot.ByLogin([]byte(x.Email))
			byID, _ := a.snapshot.ByID(x.ID)
			if got := a.snapshot.All()[i]; !got.Equal(x) || got != byID || got != byLogin && !x.IsCatchAll() ||
				got.ConnectionFingerprint() != x.ConnectionFingerprint() {
				t.Errorf("account %d is %+v, want %+v", i, got, x)
			}
		}
	}
	return before || !t.Failed()
}

// scribe writes files of accounts as many hands would, and changes them.
type scribe struct {
	*rand.Rand
	object    bool
	elements  []string
	gaps      []string // in front of each element, with its comma
	tail      string
	made      int
	mischief  bool // mistakes too
	secretDir string
}

func writeSecret(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *scribe) pick(from ...string) string { return from[s.IntN(len(from))] }

// element is an account, in some way of writing.
func (s *scribe) element() string {
	s.made++
	email := fmt.Sprintf("user%d@%s", s.made, s.pick("gmail.com", "outlook.com", "example.com"))
	provider := s.pick("gmail", "outlook", "Outlook")
	nl := s.pick("", "\n", "\r\n", "\n\t // a comment with \" and {\n", "/* } */")
	var b strings.Builder
	fmt.Fprintf(&b, `{%s"email": "%s",%s "provider": "%s", "client_id": "id {[\"\\",%s"refresh_token": "%s"`, nl, email, nl, provider, nl,
		s.pick("token", `to\u006ben`, "]}", "one", "two", "three", "env:CONFIG_TEST_TOKEN", "file:"+s.secretDir+"/token"))
	if provider == "gmail" || s.IntN(2) == 0 {
		fmt.Fprintf(&b, `, "client_secret": "secret"`)
	}
	for range s.IntN(4) {
		b.WriteString("," + nl + s.pick(`"_note": {"a": ["}"]}`, `"favourite": "x"`, `"scope": "one"`, `"scope": "two"`, `"max_recipients": 9999`,
			`"max_messages_per_hour": 10`, `"rate_limiting": {"enabled": false, "messages_per_day": 10}`, `"rate_limiting_settings": {"unknown": 1}`,
			`"ip_address": "10.0.0.1"`, `"token": "x"`, `"vmta_name": null`, `"concurrent_messages": 3`, `"auth_mechanism": "oauthbearer"`))
	}
	if s.mischief && s.IntN(40) == 0 {
		b.WriteString("," + nl + s.pick(`"max_recipients": -1`, `"email": "nobody"`, `"provider": "x"`, `"account_id": ""`, `"email": "user1@gmail.com"`,
			`"retry": 7`, `"refresh_token": "env:CONFIG_TEST_NO_TOKEN"`, `"ip_address": "::1"`, `"account_id": "twice"`, `"_": `+strings.Repeat("[", 70)+strings.Repeat("]", 70)))
	}
	b.WriteString(s.pick("", ",") + nl + "}")
	if s.mischief && s.IntN(100) == 0 {
		return s.pick("null", "7", `"x"`, "[]", "{}", "{", "}", ",", "{]", `{"a" "b"}`)
	}
	return b.String()
}

func (s *scribe) gap() string {
	space := s.pick("", " ", "\n", "\r\n  ", "\n\n", "// one, two { [ \"\n", "/* ] } \" \n */", "\n  // ä\n")
	comma := ","
	if s.mischief && s.IntN(100) == 0 {
		comma = s.pick("", ",,", ":", "]")
	}
	return s.pick("", " ", "\n", " // }\n") + comma + space
}

// change changes the file in some places.
func (s *scribe) change() {
	for range 1 + s.IntN(3) {
		n := len(s.elements)
		switch op := s.IntN(8); {
		case op == 0 || n < 3:
			i := s.IntN(n + 1)
			s.elements, s.gaps = slices.Insert(s.elements, i, s.element()), slices.Insert(s.gaps, i, s.gap())
		case op == 1:
			i := s.IntN(n)
			s.elements, s.gaps = slices.Delete(s.elements, i, i+1), slices.Delete(s.gaps, i, i+1)
		case op == 2:
			i, j := s.IntN(n), s.IntN(n)
			s.elements[i], s.elements[j] = s.elements[j], s.elements[i]
		case op == 3:
			s.gaps[s.IntN(n)] = s.gap()
		case op == 4:
			s.elements[s.IntN(n)] = s.element()
		case op == 5 && s.IntN(10) == 0:
			s.object = !s.object
		case op == 6:
			s.tail = s.pick("", ",", "\n// the end\n", "/* ] */", ",\n")
		case op == 7 && s.mischief && s.IntN(10) == 0:
			s.elements[s.IntN(n)] = s.elements[s.IntN(n)]
		}
	}
}

func (s *scribe) text() []byte {
	var b strings.Builder
	if s.IntN(10) == 0 {
		b.WriteString("\ufeff")
	}
	b.WriteString(s.pick("", "\n", "// accounts\n", "/* [ { */"))
	if s.object {
		b.WriteString(s.pick(`{"accounts": [`, `{"_": "accounts", "other": [{"accounts": []}], /* "accounts" */ "accounts" /**/ :`+"\n[", `{"version": 1, "acco\u0075nts": [`, `{"accounts": [], "accounts": [`))
	} else {
		b.WriteString("[")
	}
	for i, element := range s.elements {
		gap := s.gaps[i]
		if i == 0 {
			gap = strings.Replace(gap, ",", "", 1)
		}
		b.WriteString(gap + element)
	}
	b.WriteString(s.tail + "]")
	if s.object {
		b.WriteString(s.pick("}", ",\n"+`"more": {"x": 1}, "_note": 0}`, `, "accounts[].favourite": 1}`, ` , }`))
	}
	b.WriteString(s.pick("", "\n", "// without a line end", "\n/* */\r\n"))
	text := []byte(b.String())
	if s.mischief && s.IntN(20) == 0 {
		i := s.IntN(len(text))
		switch c := s.pick(`{`, `}`, `[`, `]`, `"`, `\`, `/`, `*`, "\n", `,`, `:`, "\xff", "", "{}", "\ufeff"); s.IntN(3) {
		case 0:
			text = slices.Concat(text[:i], []byte(c), text[i:])
		case 1:
			text = slices.Concat(text[:i], []byte(c), text[min(i+1+s.IntN(9), len(text)):])
		default:
			text = text[:i]
		}
	}
	return text
}

// TestCacheChangesNothing edits files at random, and reads each version with a
// memory and without one: both say the same.
func TestCacheChangesNothing(t *testing.T) {
	t.Setenv("CONFIG_TEST_TOKEN", "canary")
	secrets := t.TempDir()
	writeSecret(t, secrets, "canary-0")
	other := testBasis()
	other.BindSourceIP = false
	good, partly, bad, known := 0, 0, 0, 0
	for seed := range uint64(60) {
		s := &scribe{Rand: rand.New(rand.NewPCG(seed, 5)), mischief: seed%2 > 0, secretDir: secrets}
		for range 15 {
			s.elements, s.gaps = append(s.elements, s.element()), append(s.gaps, s.gap())
		}
		m := new(Cache)
		for range 30 {
			b := testBasis()
			if s.IntN(10) == 0 {
				b = other
			}
			if s.IntN(10) == 0 {
				writeSecret(t, secrets, fmt.Sprintf("canary-%d", s.Int()))
			}
			s.change()
			data := s.text()
			before := m.last
			got, want := read(m, b, data), coldly(b, data)
			if !got.same(t, want) {
				t.Fatalf("seed %d, of\n%s", seed, data)
			}
			switch {
			case len(want.problems) > 0:
				bad++
				if m.last != before {
					t.Fatal("a bad file is remembered")
				}
			case len(want.leftOut) > 0:
				partly++
			default:
				good++
			}
			if before != nil && m.last != before {
				for _, u := range m.last.units {
					if u.account != nil && slices.ContainsFunc(before.units, func(was unit) bool { return was.account == u.account && was.text == u.text }) {
						known++
					}
				}
			}
		}
	}
	t.Logf("%d good files, %d with wrong entries, %d bad ones, %d accounts were known", good, partly, bad, known)
	if good < 300 || partly < 200 || bad < 100 || known < 2000 {
		t.Error("too few of a kind")
	}
}

// TestCacheOfPairs reads a file and then one in which something that was right is
// wrong, or is elsewhere.
func TestCacheOfPairs(t *testing.T) {
	account := func(name, more string) string {
		return `{"email": "` + name + `@example.com", "provider": "outlook", "client_id": "id", "refresh_token": "token"` + more + `}`
	}
	a, b, c := account("a", ""), account("b", `, "unknown": 1`), account("c", "")
	deep := func(n int) string {
		return account("deep", `, "_": `+strings.Repeat("[", n)+strings.Repeat("]", n))
	}
	twice := account("twice", ",\n"+`"scope": "one",`+"\n"+`"scope": "two"`)
	for _, tt := range []struct{ name, first, second string }{
		{"a comma is missing behind the first", "[\n" + a + ",\n" + b + "]", "[" + c + "\n" + a + "]"},
		{"a comma is missing", "[" + a + ",\n" + b + ",\n" + c + "]", "[" + a + "\n" + b + ",\n" + c + "]"},
		{"a comma too many", "[" + a + ",\n" + b + ",\n" + c + "]", "[" + a + ",,\n" + b + ",\n" + c + "]"},
		{"a comma behind the last", "[" + a + "," + b + "]", "[" + a + "," + b + ",]"},
		{"deeper in an object", "[" + a + "," + deep(keyfile.MaxDepth-2) + "]", `{"accounts": [` + a + "," + deep(keyfile.MaxDepth-2) + "]}"},
		{"too deep", "[]", "[" + a + "," + deep(keyfile.MaxDepth-1) + "]"},
		{"just not too deep", "[]", "[" + a + "," + deep(keyfile.MaxDepth-2) + "]"},
		{"another array wins", `{"accounts": [` + a + "," + b + "]}", `{"accounts": [` + a + "," + b + `], "accounts": [` + a + "]}"},
		{"the same array twice", `{"accounts": [` + a + "," + b + "]}", `{"accounts": [` + a + "," + b + `], "accounts": [` + a + "," + b + "]}"},
		{"only in a comment", "[" + a + "," + b + "]", "[" + a + " // ," + b + "\n]"},
		{"in another array", "[" + a + "," + b + "]", `{"accounts": [` + a + `, {"x": [` + a + "," + b + "]}]}"},
		{"twice", "[" + a + "," + b + "," + c + "]", "[" + a + "," + b + "," + b + "]"},
		{"first and last", "[" + a + "," + b + "]", "[" + b + "," + a + "," + b + "]"},
		{"lines above", "[" + a + "," + b + "]", "// x\n\n[" + a + "," + b + "]"},
		{"a line number in a note", "[" + a + "," + twice + "]", "[\n" + a + "," + twice + "]"},
		{"keys of the file behind the accounts", "[]", `{"accounts": [` + a + ",\n\n" + b + "\n],\n" + `"more": 1}`},
		{"keys of the file are called as those of accounts", "[]", `{"accounts[].unknown": 1, "accounts": [` + a + ",\n\n" + b + "\n]}"},
		{"a byte order mark", "[" + a + "," + b + "]", "\ufeff[" + a + "," + b + "]"},
		{"two byte order marks", "[" + a + "," + b + "]", "\ufeff\ufeff[" + a + "," + b + "]"},
		{"more behind the end", "[" + a + "," + b + "]", "[" + a + "," + b + "]]"},
		{"nothing", "[" + a + "," + b + "]", " "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(Cache)
			for _, text := range []string{tt.first, tt.second, tt.first} {
				read(m, testBasis(), []byte(text)).same(t, coldly(testBasis(), []byte(text)))
			}
		})
	}
}

// TestSplitterWindows splits files that do not fit into memory: the pieces are
// the same, and together they are the file.
func TestSplitterWindows(t *testing.T) {
	cut := func(text []byte, window int) (pieces []string, err error) {
		s := split.New(bytes.NewReader(text), window)
		head, err := s.Head()
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, string(head))
		for {
			text, gap, err := s.Next()
			if err != nil {
				return nil, err
			}
			if text == nil {
				break
			}
			pieces = append(pieces, string(text[:gap]), string(text[gap:]))
		}
		tail, err := s.Tail(nil)
		return append(pieces, string(tail)), err
	}
	for seed := range uint64(20) {
		s := &scribe{Rand: rand.New(rand.NewPCG(seed, 7)), secretDir: "/nowhere"}
		for range 20 {
			s.change()
		}
		text := s.text()
		want, err := cut(text, len(text)+1)
		if errors.Is(err, split.ErrOddFile) && bytes.Contains(text, []byte(`\u0075`)) {
			continue // the name of the array is spelled in another way
		}
		if err != nil {
			t.Fatalf("%v, of\n%s", err, text)
		}
		if all := strings.Join(want, ""); all != strings.TrimPrefix(string(text), "\ufeff") {
			t.Fatalf("the pieces are\n%s\nof\n%s", all, text)
		}
		for window := len("\ufeff") + len(want[0]); window < len(text)+1; window += 1 + s.IntN(50) {
			if got, err := cut(text, window); err != nil || !slices.Equal(got, want) {
				t.Fatalf("with a window of %d: %v\n%q\nwant\n%q", window, err, got, want)
			}
		}
	}
}

// FuzzCache reads one file and then another one: the memory of the first does
// not show in what is said about the second.
func FuzzCache(f *testing.F) {
	files, err := filepath.Glob("../config/testdata/*/accounts_*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	var before []byte
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(before, data)
		before = data
	}
	for seed := range uint64(20) {
		s := &scribe{Rand: rand.New(rand.NewPCG(seed, 6)), secretDir: "/nowhere"}
		s.change()
		before := s.text()
		s.change()
		f.Add(before, s.text())
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		m, b := new(Cache), testBasis()
		for _, data := range [][]byte{first, second, second} {
			read(m, b, data).same(t, coldly(b, data))
		}
	})
}
