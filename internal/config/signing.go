package config

import (
	"crypto/sha256"
	"sync"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
)

// signing is how accounts are checked that sign their token requests.
var signing = new(keyChecks)

// mostPairs bounds the results that keyChecks remembers.
const mostPairs = 1000

// keyChecks has the results for keys that were checked: many accounts share a pair, and
// the check of one takes long. It implements accountfile.Signing.
type keyChecks struct {
	mu      sync.Mutex // guards results
	results map[[sha256.Size]byte]error
}

// CheckKeys is oauth.CheckKeys.
func (c *keyChecks) CheckKeys(a *account.Account) error {
	if a.PrivateKey.IsZero() {
		return nil
	}
	pair := sha256.Sum256([]byte(string(a.TokenFlow()) + "\x00" + a.Certificate + "\x00" + a.PrivateKey.Reveal()))
	c.mu.Lock()
	defer c.mu.Unlock()
	err, known := c.results[pair]
	if known {
		return err
	}
	if err = oauth.CheckKeys(a); c.results == nil || len(c.results) >= mostPairs {
		c.results = make(map[[sha256.Size]byte]error)
	}
	c.results[pair] = err
	return err
}
