package accountfile

import (
	"crypto/sha256"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// Cache is what a program that reads its accounts again and again keeps of the
// last time: reading them costs as much as there is that changed. The zero value
// remembers nothing; nil never does. It is for one caller at a time.
//
// It has the hash of each account's text, and the account that came of it. A text
// that is there again gives the same account, as long as the settings that
// accounts are read with are equal ([Basis]), and unless something else had to do
// with it, such as a file that a secret is in. It is 48 octets for each account,
// and 16 for each key of it that the report mentions.
type Cache struct {
	// Pause, if not nil, is called between two accounts, for a caller that
	// others must not wait for.
	Pause func()

	last *cached
}

// pause returns Pause; nil if there is no cache.
func (c *Cache) pause() func() {
	if c == nil {
		return nil
	}
	return c.Pause
}

// cached is what is remembered of a file of accounts. It does not change.
type cached struct {
	basis    *Basis
	depth    int // of the array in the file
	units    []unit
	snapshot *account.Snapshot
}

// unit is an account with the gap in front of it.
type unit struct {
	text    digest           // zero for the first one, which has no comma in its gap
	account *account.Account // nil: it is to be read again in any case
	notes   []note
}

// digest is 128 bits of a SHA-256 hash.
type digest [16]byte

func digestOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:len(digest{})])
}

// lookup finds accounts that are known, fastest in the order that they had.
type lookup struct {
	units []unit
	next  int            // what is expected
	index map[digest]int // nil: not needed yet
}

// find returns the unit of that text, nil if there is none or it is to be read
// again.
func (r *lookup) find(text digest) *unit {
	i := r.next
	if i >= len(r.units) || r.units[i].text != text {
		if r.index == nil {
			r.index = make(map[digest]int, len(r.units))
			for i, u := range r.units {
				r.index[u.text] = i
			}
		}
		var ok bool
		if i, ok = r.index[text]; !ok {
			return nil
		}
	}
	r.next = i + 1
	if r.units[i].account == nil {
		return nil
	}
	return &r.units[i]
}

// note is an entry of the report about one account.
type note struct {
	*keyfile.Statement
	line int // from the first one of the unit
}
