package accountfile

import (
	"crypto/sha256"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// Cache has the accounts of the last time for a program that reads its file again
// and again: only accounts that changed are read. The zero value is empty; nil
// stays so. It is for one caller at a time.
//
// It keeps the hash of each account's text, and the account. The same text gives the
// same account while the [Basis] is equal, unless it depends on something else, such
// as a file that has a secret. A cache takes 48 octets for each account, and 16 for
// each key of it that the report mentions.
type Cache struct {
	// Pause, if not nil, is called between two accounts, for a program that has other
	// things to do meanwhile.
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

// cached is a file of accounts as it was read. It does not change.
type cached struct {
	basis    *Basis
	depth    int // of the array in the file
	units    []unit
	snapshot *account.Snapshot
}

// unit is an account with the gap in front of it.
type unit struct {
	text    digest           // zero for the first one, which has no comma in its gap
	account *account.Account // nil: it must be read again in any case
	notes   []note
}

// note is an entry of the report about one account.
type note struct {
	*keyfile.Statement
	line int // from the first line of the unit
}

// digest is 128 bits of a SHA-256 hash.
type digest [16]byte

func digestOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:len(digest{})])
}

// lookup finds accounts of the cache, fastest in the order of the file.
type lookup struct {
	units []unit
	next  int            // index of the expected one
	index map[digest]int // nil: not needed yet
}

// find returns the unit of that text; nil if there is none, or if it must be read
// again.
func (l *lookup) find(text digest) *unit {
	i := l.next
	if i >= len(l.units) || l.units[i].text != text {
		if l.index == nil {
			l.index = make(map[digest]int, len(l.units))
			for i, u := range l.units {
				l.index[u.text] = i
			}
		}
		var ok bool
		if i, ok = l.index[text]; !ok {
			return nil
		}
	}
	l.next = i + 1
	if l.units[i].account == nil {
		return nil
	}
	return &l.units[i]
}
