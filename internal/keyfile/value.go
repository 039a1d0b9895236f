package keyfile

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"xoauth2-proxy/internal/oneline"

	"github.com/tailscale/hujson"
)

// Value is the value of one known key.
type Value struct {
	// File is where it stands, and Node what stands there.
	File  *File
	Node  hujson.Value
	Place Place
	// Entry is the key's entry in the report; nil for a container.
	Entry *Entry

	path   string // of the key in its table
	doc    string
	claims Claims // of the object that the key is in
}

// Reader reads a value of the type V. ok is false if there is none: then Reader has
// added a problem, or the value is empty.
type Reader[V any] func(*Value) (v V, ok bool)

func (v *Value) line() int { return v.File.Line(v.Node.StartOffset) }

// brief returns the value as written, on one line and not long.
func (v *Value) brief() string {
	const most = 60
	s := ""
	if lit, ok := v.Node.Value.(hujson.Literal); ok {
		s = string(lit)
	} else {
		node := v.Node.Clone()
		node.Minimize()
		s = string(node.Pack())
	}
	return oneline.Cut(s, most)
}

// Fail adds a problem. The documentation of the key goes with it: it says what
// would be right.
func (v *Value) Fail(format string, args ...any) {
	v.File.Problem(v.Node, v.Place.Exact, "%s (%s)", fmt.Sprintf(format, args...), v.doc)
}

// claim says that the key sets target. A key that did so before is overridden,
// and its entry says so.
func (v *Value) claim(target any) {
	if before, ok := v.claims[target]; ok {
		before.Status, before.Note = Ignored, v.Place.General+" says the same and wins"
	}
	v.claims[target] = v.Entry
}

// kind names the type of the value as it stands in the file.
func (v *Value) kind() string {
	switch v.Node.Value.Kind() {
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

func (v *Value) literal() string {
	lit, _ := v.Node.Value.(hujson.Literal)
	return string(lit)
}

// Boolean reads true or false.
func Boolean(v *Value) (bool, bool) {
	switch v.Node.Value.Kind() {
	case 't':
		return true, true
	case 'f':
		return false, true
	}
	v.Fail("must be true or false, not %s", v.kind())
	return false, false
}

// Whole reads a whole number of lo..hi.
func Whole[N int | int64](lo, hi N) Reader[N] {
	return func(v *Value) (N, bool) {
		n, ok := v.wholeNumber()
		if !ok {
			v.Fail("must be a whole number, not %s", v.shown())
			return 0, false
		}
		if n < int64(lo) || n > int64(hi) {
			v.Fail("%d is not in %d..%d", n, lo, hi)
			return 0, false
		}
		return N(n), true
	}
}

// wholeNumber parses a number without a fraction, 1e3 included.
func (v *Value) wholeNumber() (int64, bool) {
	if v.Node.Value.Kind() != '0' {
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

// shown is the value in a message about its type: a number as it stands, else its
// type.
func (v *Value) shown() string {
	if v.Node.Value.Kind() == '0' {
		return v.brief()
	}
	return v.kind()
}

// Fraction reads a number of lo..hi.
func Fraction(lo, hi float64) Reader[float64] {
	return func(v *Value) (float64, bool) {
		x, err := strconv.ParseFloat(v.literal(), 64)
		if v.Node.Value.Kind() != '0' || err != nil {
			v.Fail("must be a number, not %s", v.shown())
			return 0, false
		}
		if x < lo || x > hi {
			v.Fail("%g is not in %g..%g", x, lo, hi)
			return 0, false
		}
		return x, true
	}
}

// Duration reads a duration of lo..hi: a string such as "1m30s", or a number of
// seconds, as in the files of the predecessor.
func Duration(lo, hi time.Duration) Reader[time.Duration] {
	return func(v *Value) (time.Duration, bool) {
		var d time.Duration
		switch v.Node.Value.Kind() {
		case '0':
			x, err := strconv.ParseFloat(v.literal(), 64)
			if err != nil || math.Abs(x) > math.MaxInt64/1e9/2 {
				v.Fail("%s seconds is no duration", v.brief())
				return 0, false
			}
			d = time.Duration(x * float64(time.Second))
		case '"':
			var err error
			if d, err = time.ParseDuration(v.Node.Value.(hujson.Literal).String()); err != nil {
				v.Fail(`%s is no duration, which is written as "90s", "1m30s" or 90`, v.brief())
				return 0, false
			}
		default:
			v.Fail(`must be a duration such as "90s", or a number of seconds, not %s`, v.kind())
			return 0, false
		}
		if d < lo || d > hi {
			v.Fail("%v is not in %v..%v", d, lo, hi)
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

// Size reads a number of octets, lo..hi: a number, or a string such as "64MiB".
func Size(lo, hi int64) Reader[int64] {
	return func(v *Value) (int64, bool) {
		n, ok := v.wholeNumber()
		if v.Node.Value.Kind() == '"' {
			n, ok = ParseSize(v.Node.Value.(hujson.Literal).String())
		}
		if !ok {
			v.Fail(`must be a number of octets or a string such as "64MiB", not %s`, v.brief())
			return 0, false
		}
		if n < lo || n > hi {
			v.Fail("%d octets is not in %d..%d", n, lo, hi)
			return 0, false
		}
		return n, true
	}
}

// ParseSize parses a size such as "64MiB".
func ParseSize(s string) (int64, bool) {
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

// Text reads a string without control characters and without white space
// around it, which would be a mistake. An empty string counts as not given.
func Text(v *Value) (string, bool) {
	if v.Node.Value.Kind() != '"' {
		v.Fail("must be a string, not %s", v.kind())
		return "", false
	}
	s := unquote(v.Node.Value.(hujson.Literal))
	switch {
	case strings.ContainsFunc(s, unicode.IsControl):
		v.Fail("must not contain control characters or line ends")
		return "", false
	case strings.TrimFunc(s, IsBlank) != s:
		v.Fail("must not begin or end with white space, nor with characters that are not visible, such as U+200B and U+FEFF: type the value anew between the quotes")
		return "", false
	}
	return s, s != ""
}

// IsBlank reports whether r is white space, or is not visible: NO-BREAK SPACE, ZERO WIDTH
// SPACE, a byte order mark. It is part of no token, key or name.
func IsBlank(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) }

// OneOf reads one of the words in any case, and returns it as words spells it. A
// further name in other stands for its value there.
func OneOf[V ~string](other map[string]V, words ...V) Reader[V] {
	return func(v *Value) (V, bool) {
		s, ok := Text(v)
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
		v.Fail("must be one of %q", words)
		return "", false
	}
}

// Checked reads a string and applies check, whose error is the problem. check
// may return another spelling.
func Checked[V any](check func(string) (V, error)) Reader[V] {
	return func(v *Value) (V, bool) {
		s, ok := Text(v)
		if !ok {
			var zero V
			return zero, false
		}
		x, err := check(s)
		if err != nil {
			v.Fail("%v", err)
		}
		return x, err == nil
	}
}

// EachMember calls fn for each member of an object, notes and nulls left out,
// with the name in lower case.
func (v *Value) EachMember(fn func(name string, member *Value)) {
	object, ok := v.Node.Value.(*hujson.Object)
	if !ok {
		v.Fail("must be an object, not %s", v.kind())
		return
	}
	for i := range object.Members {
		name, node := MemberName(object, i), &object.Members[i].Value
		if strings.HasPrefix(name, "_") || IsNull(node) {
			continue
		}
		shown := Printable(name)
		fn(strings.ToLower(name), &Value{File: v.File, Node: *node, doc: v.doc,
			Place: v.Place.Child("." + shown)})
	}
}

// EachElement calls fn for each element of an array.
func (v *Value) EachElement(fn func(element *Value)) {
	array, ok := v.Node.Value.(*hujson.Array)
	if !ok {
		v.Fail("must be an array, not %s", v.kind())
		return
	}
	for i, node := range array.Elements {
		index := fmt.Sprintf("[%d]", i)
		fn(&Value{File: v.File, Node: node, doc: v.doc, claims: v.claims,
			Place: v.Place.Child(index)})
	}
}

// Problem adds a problem with a key of the object v, without its documentation.
func (v *Value) Problem(key, format string, args ...any) {
	v.File.Problem(v.Node, v.Place.Exact+"."+key, format, args...)
}
