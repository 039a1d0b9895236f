package redisstore

import (
	"strings"
	"testing"

	"xoauth2-proxy/internal/share"
)

func TestKeys(t *testing.T) {
	names := []string{"", "a", "a|b", "a%7cb", "\x00smtp.gmail.com:587\x00user@gmail.com", "{x}", "x}:conn", "ü ü", "%", "\xff\x7f"}
	seen := make(map[string]string)
	for _, name := range names {
		for _, part := range append([]string{"conn", "tok"}, kindNames[:]...) {
			key := keyOf(name, part)
			if other, there := seen[key]; there {
				t.Errorf("%q: two names have it: %q and %q", key, name, other)
			}
			seen[key] = name
			tag, _, _ := strings.Cut(strings.TrimPrefix(key, "xp:{"), "}") // as a cluster finds it
			if unescape(tag) != name || !strings.HasSuffix(key, "}:"+part) {
				t.Errorf("%q of %q: its tag is of %q", key, name, unescape(tag))
			}
		}
	}
	if got, want := keyOf("\x00smtp.gmail.com:587\x00user@gmail.com", kindNames[share.RecipientsPerDay]),
		"xp:{%00smtp.gmail.com:587%00user@gmail.com}:rcpt"; got != want {
		t.Errorf("key %q, want %q", got, want)
	}
}
