package config

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tailscale/hujson"
)

// value is the value of one known key.
type value struct {
	f      *file
	node   hujson.Value
	place  place
	path   string // of the key in its table
	doc    string
	entry  *Entry // nil for a container
	claims claims // of the object that the key is in
}

// reader reads a value of the type V. When it cannot, it has added a problem or
// found that nothing is given, and returns false.
type reader[V any] func(*value) (V, bool)

func (v *value) line() int { return v.f.line(v.node.StartOffset) }

// brief returns the value as written, on one line and not long.
func (v *value) brief() string {
	const most = 60
	s := ""
	if lit, ok := v.node.Value.(hujson.Literal); ok {
		s = string(lit)
	} else {
		node := v.node.Clone()
		node.Minimize()
		s = string(node.Pack())
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// fail adds a problem. The documentation of the key goes with it: it says what
// would be right.
func (v *value) fail(format string, args ...any) {
	v.f.problem(v.node, v.place.exact, "%s (%s)", fmt.Sprintf(format, args...), v.doc)
}

// claim says that the key sets target. A key that did so before is overridden,
// and its entry says so.
func (v *value) claim(target any) {
	if before, ok := v.claims[target]; ok {
		before.Status, before.Note = Ignored, v.place.general+" says the same and wins"
	}
	v.claims[target] = v.entry
}

// kind names the type of the value as it stands in the file.
func (v *value) kind() string {
	switch v.node.Value.Kind() {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case '0':
		return "a number"
	}
	return "true or false"
}

func (v *value) literal() string {
	lit, _ := v.node.Value.(hujson.Literal)
	return string(lit)
}

// unquote is the string that a literal stands for. Most need no more than their
// quotes taken off, and there are many in a file of accounts.
func unquote(lit hujson.Literal) string {
	if n := len(lit); n >= 2 && lit[0] == '"' && bytes.IndexByte(lit, '\\') < 0 && utf8.Valid(lit) {
		return string(lit[1 : n-1])
	}
	return lit.String()
}

// boolean reads true or false.
func boolean(v *value) (bool, bool) {
	switch v.node.Value.Kind() {
	case 't':
		return true, true
	case 'f':
		return false, true
	}
	v.fail("must be true or false, not %s", v.kind())
	return false, false
}

// whole reads a whole number of lo..hi.
func whole[N int | int64](lo, hi N) reader[N] {
	return func(v *value) (N, bool) {
		n, ok := v.wholeNumber()
		if !ok {
			v.fail("must be a whole number, not %s", v.shown())
			return 0, false
		}
		if n < int64(lo) || n > int64(hi) {
			v.fail("%d is not in %d..%d", n, lo, hi)
			return 0, false
		}
		return N(n), true
	}
}

// wholeNumber parses a number without a fraction, 1e3 included.
func (v *value) wholeNumber() (int64, bool) {
	if v.node.Value.Kind() != '0' {
		return 0, false
	}
	if n, err := strconv.ParseInt(v.literal(), 10, 64); err == nil {
		return n, true
	}
	x, err := strconv.ParseFloat(v.literal(), 64)
	if err != nil || x != math.Trunc(x) || math.Abs(x) >= 1<<53 {
		return 0, false
	}
	return int64(x), true
}

// shown is the value for a message about its type: numbers as they are.
func (v *value) shown() string {
	if v.node.Value.Kind() == '0' {
		return v.brief()
	}
	return v.kind()
}

// fraction reads a number of lo..hi.
func fraction(lo, hi float64) reader[float64] {
	return func(v *value) (float64, bool) {
		x, err := strconv.ParseFloat(v.literal(), 64)
		if v.node.Value.Kind() != '0' || err != nil {
			v.fail("must be a number, not %s", v.shown())
			return 0, false
		}
		if x < lo || x > hi {
			v.fail("%g is not in %g..%g", x, lo, hi)
			return 0, false
		}
		return x, true
	}
}

// span reads a duration of lo..hi: a string such as "1m30s", or a number of
// seconds as the original has them.
func span(lo, hi time.Duration) reader[time.Duration] {
	return func(v *value) (time.Duration, bool) {
		var d time.Duration
		switch v.node.Value.Kind() {
		case '0':
			x, err := strconv.ParseFloat(v.literal(), 64)
			if err != nil || math.Abs(x) > math.MaxInt64/1e9/2 {
				v.fail("%s seconds is no duration", v.brief())
				return 0, false
			}
			d = time.Duration(x * float64(time.Second))
		case '"':
			var err error
			if d, err = time.ParseDuration(v.node.Value.(hujson.Literal).String()); err != nil {
				v.fail(`%s is no duration, which is written as "90s", "1m30s" or 90`, v.brief())
				return 0, false
			}
		default:
			v.fail(`must be a duration such as "90s", or a number of seconds, not %s`, v.kind())
			return 0, false
		}
		if d < lo || d > hi {
			v.fail("%v is not in %v..%v", d, lo, hi)
			return 0, false
		}
		return d, true
	}
}

// sizeUnits are the suffixes of a size, the longer ones first.
var sizeUnits = []struct {
	suffix string
	shift  uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"B", 0}}

// size reads octets, lo..hi: a number, or a string such as "64MiB".
func size(lo, hi int64) reader[int64] {
	return func(v *value) (int64, bool) {
		n, ok := v.wholeNumber()
		if v.node.Value.Kind() == '"' {
			n, ok = parseSize(v.node.Value.(hujson.Literal).String())
		}
		if !ok {
			v.fail(`must be a number of octets or a string such as "64MiB", not %s`, v.brief())
			return 0, false
		}
		if n < lo || n > hi {
			v.fail("%d octets is not in %d..%d", n, lo, hi)
			return 0, false
		}
		return n, true
	}
}

func parseSize(s string) (int64, bool) {
	for _, u := range sizeUnits {
		digits, found := strings.CutSuffix(s, u.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		return n << u.shift, err == nil && n >= 0 && n <= math.MaxInt64>>u.shift
	}
	return 0, false
}

// text reads a string without control characters and without white space
// around it, which would be a slip of the pen. An empty one is not given.
func text(v *value) (string, bool) {
	if v.node.Value.Kind() != '"' {
		v.fail("must be a string, not %s", v.kind())
		return "", false
	}
	s := unquote(v.node.Value.(hujson.Literal))
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		v.fail("must not contain control characters or line ends")
		return "", false
	case strings.TrimSpace(s) != s:
		v.fail("must not begin or end with white space")
		return "", false
	}
	return s, s != ""
}

// oneOf reads one of the words, whatever the case; it returns the word's own
// spelling or, for one that is only another name, its meaning in other.
func oneOf[V ~string](other map[string]V, words ...V) reader[V] {
	return func(v *value) (V, bool) {
		s, ok := text(v)
		if !ok {
			return "", false
		}
		s = strings.ToLower(s)
		if w, ok := other[s]; ok {
			return w, true
		}
		if i := slices.Index(words, V(s)); i >= 0 {
			return words[i], true
		}
		v.fail("must be one of %q", words)
		return "", false
	}
}

// checked reads a string and applies check, whose error is the problem. check
// may return another spelling.
func checked[V any](check func(string) (V, error)) reader[V] {
	return func(v *value) (V, bool) {
		s, ok := text(v)
		if !ok {
			var zero V
			return zero, false
		}
		x, err := check(s)
		if err != nil {
			v.fail("%v", err)
		}
		return x, err == nil
	}
}

// eachMember calls fn for each member of an object, notes and nulls left out,
// with the name in lower case.
func (v *value) eachMember(fn func(name string, member *value)) {
	object, ok := v.node.Value.(*hujson.Object)
	if !ok {
		v.fail("must be an object, not %s", v.kind())
		return
	}
	for i := range object.Members {
		name, node := memberName(object, i), &object.Members[i].Value
		if strings.HasPrefix(name, "_") || isNull(node) {
			continue
		}
		shown := printable(name)
		fn(strings.ToLower(name), &value{f: v.f, node: *node, doc: v.doc,
			place: place{v.place.exact + "." + shown, v.place.general + "." + shown}})
	}
}

// eachElement calls fn for each element of an array.
func (v *value) eachElement(fn func(element *value)) {
	array, ok := v.node.Value.(*hujson.Array)
	if !ok {
		v.fail("must be an array, not %s", v.kind())
		return
	}
	for i, node := range array.Elements {
		index := fmt.Sprintf("[%d]", i)
		fn(&value{f: v.f, node: node, doc: v.doc, claims: v.claims,
			place: place{v.place.exact + index, v.place.general + index}})
	}
}
