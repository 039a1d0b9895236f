// Package sources counts the sessions of a listener by the address that they come from.
package sources

import (
	"net/netip"
	"sync"
)

// Count has the sessions of each source: an IPv4 address, or the /64 network of an IPv6
// address, since a host can use all of that. It is safe for concurrent use.
type Count struct {
	most int

	mu       sync.Mutex // guards bySource
	bySource map[netip.Addr]int
}

// New makes a count with at most that many sessions of a source; 0: any number.
func New(most int) *Count { return &Count{most: most, bySource: make(map[netip.Addr]int)} }

// Limited reports whether there is a limit; a nil Count has none.
func (c *Count) Limited() bool { return c != nil && c.most > 0 }

// Enter counts one more session of a source, or returns false if that has too many.
func (c *Count) Enter(source netip.Addr) bool {
	key := keyOf(source)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bySource[key] >= c.most {
		return false
	}
	c.bySource[key]++
	return true
}

// Leave undoes Enter.
func (c *Count) Leave(source netip.Addr) {
	key := keyOf(source)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bySource[key]--; c.bySource[key] == 0 {
		delete(c.bySource, key)
	}
}

// Len returns the number of sources with a session.
func (c *Count) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.bySource)
}

// Contains reports whether one of the prefixes contains the address.
func Contains(prefixes []netip.Prefix, source netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(source) {
			return true
		}
	}
	return false
}

// keyOf returns the address that counts for a source.
func keyOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	network, _ := a.Prefix(64) // fails only for impossible lengths
	return network.Addr()
}
