package oneline

import "testing"

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"plain, é and \u4e16":      "plain, é and \u4e16",
		"a\r\nb\tc\x00\x1b[2J":     "a__b_c__[2J",
		"\x7f\u0080\u009f\u00a0":   "___\u00a0",
		"not UTF-8: \xff and \x1b": "not UTF-8: \uFFFD and _",
	} {
		if got := Text(in, '_'); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		most     int
	}{
		{"", "", 0}, {"abc", "abc", 3}, {"abcd", "abc...", 3}, {"abé", "ab...", 3}, {"é", "...", 1}, {"\x80\x80", "...", 1},
	} {
		if got := Cut(tt.in, tt.most); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.in, tt.most, got, tt.want)
		}
	}
}
