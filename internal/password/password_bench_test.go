package password

import (
	"net/netip"
	"testing"
)

func BenchmarkCheck(b *testing.B) {
	for _, bm := range []struct{ name, stored, password string }{
		{"stored=argon2id/cached=true", argon2Stored, argon2Password},
		{"stored=bcrypt/cached=true", bcryptStored, bcryptPassword},
		{"stored=plain", "s3cret", "s3cret"},
	} {
		b.Run(bm.name, func(b *testing.B) {
			c := New(testConfig(), nil)
			defer c.Close()
			secret, password := parse(b, bm.stored), []byte(bm.password)
			await(func(done func(Result)) Result { return c.Check(key{}, "account", secret, password, done) })
			b.ReportAllocs()
			for b.Loop() {
				if r := c.Check(key{}, "account", secret, password, nil); r != Allowed {
					b.Fatal(r)
				}
			}
		})
	}
}

func BenchmarkHash(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Hash("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckCRAMMD5(b *testing.B) {
	c := New(testConfig(), nil)
	defer c.Close()
	secret, challenge := parse(b, "s3cret"), []byte("<1896.697170952@mx.example.com>")
	response := []byte(cramMD5([]byte("s3cret"), string(challenge)))
	b.ReportAllocs()
	for b.Loop() {
		if r := c.CheckCRAMMD5(secret, challenge, response); r != Allowed {
			b.Fatal(r)
		}
	}
}

func BenchmarkFailuresRefused(b *testing.B) {
	f := newFailures(DefaultFailureConfig(), began)
	addr := netip.MustParseAddr("2001:db8::1")
	f.Failed(addr, began)
	b.ReportAllocs()
	for b.Loop() {
		f.Refused(addr, began)
	}
}
