package password

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	mathrand "math/rand/v2"
	"sync"
)

// digest names one login: an account, its stored secret and a password. It is
// an HMAC-SHA256 under a key that only this process knows.
type digest [sha256.Size]byte

// digester computes digests without allocating; it is pooled.
type digester struct {
	mac hash.Hash
	in  []byte
	out digest
}

// maxDigestInput is the largest buffer that a digester keeps, in octets. A
// line of AUTH, and so a password, may be longer.
const maxDigestInput = 2048

// digesterPool makes digesters that share a new random key.
func digesterPool() *sync.Pool {
	key := make([]byte, sha256.BlockSize)
	_, _ = rand.Read(key) // never fails; see its documentation
	return &sync.Pool{New: func() any { return &digester{mac: hmac.New(sha256.New, key)} }}
}

// sum computes the digest. Lengths go before the parts, so that no two logins
// are spelt alike.
func (d *digester) sum(id, stored string, password []byte) digest {
	b := binary.BigEndian.AppendUint32(d.in[:0], uint32(len(id)))
	b = append(b, id...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(stored)))
	b = append(b, stored...)
	b = append(b, password...)
	d.mac.Reset()
	d.mac.Write(b) // a hash returns no error
	d.mac.Sum(d.out[:0])
	clear(b)
	if d.in = b; cap(b) > maxDigestInput {
		d.in = nil
	}
	return d.out
}

// cache knows the logins that were found right, up to its limit. Beyond it a new entry
// replaces one at random, so that no client can choose which. Entries do not expire:
// whether a password fits a stored secret does not change.
//
// Logins are found by the first octets of their digest, which is the output of a keyed
// function: the time that takes reveals nothing of use. The rest is compared in constant
// time.
type cache struct {
	mu      sync.RWMutex
	index   map[uint64]uint32 // into entries
	entries []digest
	limit   int
}

func newCache(limit int) *cache { return &cache{index: make(map[uint64]uint32), limit: limit} }

func (d *digest) prefix() uint64 { return binary.LittleEndian.Uint64(d[:]) }

func (c *cache) has(d *digest) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i, ok := c.index[d.prefix()]
	return ok && subtle.ConstantTimeCompare(c.entries[i][:], d[:]) == 1
}

func (c *cache) add(d *digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index[d.prefix()]
	switch {
	case ok: // the same login, or by a chance of one in 2^64 another: it gives way
	case len(c.entries) < c.limit:
		i = uint32(len(c.entries))
		c.entries = append(c.entries, digest{})
	default:
		i = mathrand.Uint32N(uint32(len(c.entries)))
		delete(c.index, c.entries[i].prefix())
	}
	c.entries[i] = *d
	c.index[d.prefix()] = i
}
