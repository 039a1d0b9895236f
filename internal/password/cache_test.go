package password

import (
	"fmt"
	"testing"
)

func TestCacheIsBounded(t *testing.T) {
	const limit = 64
	pool := digesterPool()
	c := newCache(limit)
	sum := func(i int) *digest {
		d := pool.Get().(*digester)
		defer pool.Put(d)
		key := d.sum(fmt.Sprint(i), "stored", []byte("password"))
		return &key
	}
	for i := range 10 * limit {
		if c.has(sum(i)) {
			t.Fatalf("login %d is known before it was added", i)
		}
		c.add(sum(i))
		if !c.has(sum(i)) {
			t.Fatalf("login %d is not known", i)
		}
		if want := min(i+1, limit); len(c.entries) != want || len(c.index) != want {
			t.Fatalf("after %d logins: %d entries, %d in the index, want %d", i+1, len(c.entries), len(c.index), want)
		}
	}
	known := 0
	for i := range 10 * limit {
		if c.has(sum(i)) {
			known++
		}
	}
	if known != limit {
		t.Errorf("%d logins are known, want %d", known, limit)
	}
}

func TestCacheSamePrefix(t *testing.T) {
	c := newCache(4)
	one, two := digest{0: 1, 31: 1}, digest{0: 1, 31: 2}
	c.add(&one)
	if c.has(&two) {
		t.Error("a digest is known by its first octets")
	}
	c.add(&two)
	if c.has(&one) || !c.has(&two) || len(c.entries) != 1 {
		t.Errorf("after the second: %v, %v, %d entries", c.has(&one), c.has(&two), len(c.entries))
	}
}

// TestDigest shows that every part counts, that parts do not run into each
// other, and that another process has another key.
func TestDigest(t *testing.T) {
	d := digesterPool().Get().(*digester)
	seen := map[digest]string{}
	for _, in := range [][3]string{
		{"a", "b", "c"}, {"a", "b", "d"}, {"a", "x", "c"}, {"x", "b", "c"}, {"ab", "", "c"}, {"", "ab", "c"}, {"", "", "abc"},
		{"a", "bc", ""}, {"a", "b", string(make([]byte, 2*maxDigestInput))},
	} {
		key := d.sum(in[0], in[1], []byte(in[2]))
		if other, ok := seen[key]; ok {
			t.Errorf("%q and %s have the same digest", in, other)
		}
		seen[key] = fmt.Sprintf("%q", in)
		if again := d.sum(in[0], in[1], []byte(in[2])); again != key {
			t.Errorf("%q has two digests", in)
		}
		for _, b := range d.in[:cap(d.in)] {
			if b != 0 {
				t.Fatalf("%q stays in the buffer", in)
			}
		}
		if cap(d.in) > maxDigestInput {
			t.Errorf("a buffer of %d octets is kept", cap(d.in))
		}
	}
	other := digesterPool().Get().(*digester)
	if _, ok := seen[other.sum("a", "b", []byte("c"))]; ok {
		t.Error("two pools have the same key")
	}
}
