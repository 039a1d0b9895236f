package main

import (
	"errors"
	"testing"
)

func TestResolveLoopback(t *testing.T) {
	tests := []struct {
		in, want string // want "": refused
		loopback bool   // refused for another reason than its address
	}{
		{in: "127.0.0.1:2525", want: "127.0.0.1:2525"},
		{in: "127.8.9.10:25", want: "127.8.9.10:25"},
		{in: "[::1]:2525", want: "[::1]:2525"},
		{in: "[::ffff:127.0.0.1]:2525", want: "127.0.0.1:2525"},
		{in: "192.0.2.1:25"},
		{in: "0.0.0.0:25"},
		{in: "[2001:db8::1]:25"},
		{in: "smtp.example.com:587"},
		{in: "127.0.0.1.example.com:587"},
		{in: "localhost.example.com:587"},
		{in: "127.0.0.1", loopback: true},
		{in: "127.0.0.1:0", loopback: true},
		{in: "127.0.0.1:smtp", loopback: true},
		{in: "", loopback: true},
	}
	for _, tt := range tests {
		got, err := resolveLoopback(tt.in)
		switch {
		case tt.want != "" && (err != nil || got.String() != tt.want):
			t.Errorf("%q = %v, %v, want %s", tt.in, got, err, tt.want)
		case tt.want == "" && err == nil:
			t.Errorf("%q was taken as %v", tt.in, got)
		case tt.want == "" && errors.Is(err, errNotLoopback) == tt.loopback:
			t.Errorf("%q: error %q", tt.in, err)
		}
	}
}

func TestCheckLoopbackURL(t *testing.T) {
	u, err := checkLoopbackURL("http://127.0.0.1:9090/metrics")
	if err != nil || u.String() != "http://127.0.0.1:9090/metrics" {
		t.Errorf("got %v, %v", u, err)
	}
	for _, raw := range []string{"http://192.0.2.1/metrics", "http://example.com:9090/", "ftp://127.0.0.1/", "127.0.0.1:9090", "http://user@192.0.2.1:80/"} {
		if u, err := checkLoopbackURL(raw); err == nil {
			t.Errorf("%q was taken as %v", raw, u)
		}
	}
}
