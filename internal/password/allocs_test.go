//go:build !race

package password

import (
	"net/netip"
	"testing"
)

// TestNoAllocations is the gate for what runs on the event loops.
func TestNoAllocations(t *testing.T) {
	c := New(testConfig(), nil)
	defer c.Close()
	hashed, recoverable, password := parse(t, argon2Stored), parse(t, "s3cret"), []byte(argon2Password)
	if r, _ := await(func(done func(Result)) Result { return c.Check(key{}, "account", hashed, password, done) }); r != Allowed {
		t.Fatal(r)
	}
	f := newFailures(DefaultFailureConfig(), began)
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for name, run := range map[string]func(){
		"cached":            func() { c.Check(key{}, "account", hashed, password, nil) },
		"recoverable":       func() { c.Check(key{}, "account", recoverable, password, nil) },
		"Failures.Refused":  func() { f.Refused(v6, began) },
		"Failures.Failed":   func() { f.Failed(v4, began) },
		"Failures.Succeeds": func() { f.Succeeded(v6, began) },
	} {
		if n := testing.AllocsPerRun(200, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
