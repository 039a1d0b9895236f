//go:build bufdebug

package codec

import "sync"

// poison fills buffers that were put back, so that late readers show.
const poison = 0xdb

// tracked holds the buffers that have an owner. Its mutex guards the map.
var tracked = struct {
	sync.Mutex
	live map[*Buffer]struct{}
}{live: make(map[*Buffer]struct{})}

// trackGet notes that b has an owner.
func trackGet(b *Buffer) {
	tracked.Lock()
	defer tracked.Unlock()
	if _, ok := tracked.live[b]; ok {
		panic("codec: the pool gave out a buffer that is in use")
	}
	tracked.live[b] = struct{}{}
}

// trackPut notes that b has no owner any more, and poisons it.
func trackPut(b *Buffer) {
	tracked.Lock()
	_, ok := tracked.live[b]
	delete(tracked.live, b)
	tracked.Unlock()
	if !ok {
		panic("codec: buffer put back twice")
	}
	all := b.B[:cap(b.B)]
	for i := range all {
		all[i] = poison
	}
}

// trackRelease panics if c was released before.
func trackRelease(c *Content) {
	if c.segments == nil {
		panic("codec: content released twice")
	}
}
