package flow

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	secrets := []string{"refresh-secret-1", "pw", "two words"}
	tests := []struct{ in, want string }{
		{"", ""},
		{"Token has been expired or revoked.", "Token has been expired or revoked."},
		{"token refresh-secret-1 is bad", "token <secret> is bad"},
		{"token=refresh-secret-1&x", "token=<secret>&x"},
		{"token 'refresh-s...' is bad", "token <secret> is bad"},
		{"password pw.", "password <secret>."},
		{"the two words", "the <secret>"},
		{"Trace ID: 8f7b3a52-0f2a-4d5e-9f44-5b2f7a3d1c00", "Trace ID: 8f7b3a52-0f2a-4d5e-9f44-5b2f7a3d1c00"},
		{"unknown " + strings.Repeat("a1", 30), "unknown <secret>"},
		{"line\r\n250 OK\x00\x1b[31m", "line 250 OK??[31m"},
		{"bad \xff UTF-8", "bad ? UTF-8"},
	}
	for _, tt := range tests {
		if got := redact(tt.in, secrets); got != tt.want {
			t.Errorf("redact(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
	if got := redact(strings.Repeat("é ", 1000), nil); len(got) > maxDescription+3 {
		t.Errorf("%d octets are left", len(got))
	}
}

// Whatever an endpoint makes of a secret, eight octets of it in a row are not
// shown, and the result is one line.
func FuzzRedact(f *testing.F) {
	f.Add("the token refresh-secret-1 is bad", "refresh-secret-1")
	f.Add("a\nb refresh-secr", "refresh-secret-1")
	f.Add("<secret> <secret>", "x <secret> y")
	f.Fuzz(func(t *testing.T, text, secret string) {
		if len(secret) < secretWindow || strings.ContainsAny(secret, " \t\r\n\v\f<>?.") || !IsBearer(secret) {
			return
		}
		got := redact(text, []string{secret})
		for i := 0; i+secretWindow <= len(got); i++ {
			if w := got[i : i+secretWindow]; strings.Contains(secret, w) {
				t.Fatalf("%q of the secret %q is in %q", w, secret, got)
			}
		}
		if strings.ContainsAny(got, "\r\n\x00") || len(got) > maxDescription+3 {
			t.Fatalf("not a short line: %q", got)
		}
	})
}
