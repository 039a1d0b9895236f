package dial

import (
	"context"
	"errors"
	"testing"
)

// book has the addresses of names and the names of addresses.
type book map[string][]string

func (b book) LookupHost(_ context.Context, name string) ([]string, error) {
	if b[name] == nil {
		return nil, errors.New("not found")
	}
	return b[name], nil
}

func (b book) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	return b.LookupHost(ctx, addr)
}

func TestHostNameIsQualified(t *testing.T) {
	for _, tt := range []struct {
		name string
		book book
		want string
	}{
		{"mail.example.com", nil, "mail.example.com"},
		{"mail.example.com.", nil, "mail.example.com"},
		{"mail", nil, ""},
		{"", nil, ""},
		{"mail", book{"mail": {"127.0.1.1"}, "127.0.1.1": {"mail.example.com", "mail"}}, "mail.example.com"},
		{"mail", book{"mail": {"127.0.0.1", "192.0.2.1"}, "127.0.0.1": {"localhost.localdomain."}, "192.0.2.1": {"Mail.example.com."}}, "Mail.example.com"},
		{"mail", book{"mail": {"192.0.2.1"}, "192.0.2.1": {"mailer.example.com", "other.example.com"}}, ""},
		{"mail", book{"mail": {"192.0.2.1"}}, ""},
	} {
		if got := qualified(t.Context(), tt.name, tt.book); got != tt.want {
			t.Errorf("%q with %v: %q, want %q", tt.name, tt.book, got, tt.want)
		}
	}
}
