package vault

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// nameDomain keeps the hash in a name apart from any other use of it.
const nameDomain = "xoauth2-proxy share chain v1\x00"

// Name names a chain in a store: a hash of the chain, a colon, the account's ID. It tells
// nothing of the refresh token that the chain begins with.
func Name(c oauth.Chain) string {
	sum := sha256.Sum256(append([]byte(nameDomain), c.Fingerprint[:]...))
	return hex.EncodeToString(sum[:16]) + ":" + c.AccountID
}

// KeyCheck is the share.Info.KeyCheck of a node that seals with these keys: the name of the
// first one.
func KeyCheck(keys *seal.Keyring) string { return keys.ID() }

// chainOf returns the chain of that name, if one of the accounts has it.
func chainOf(name string, accounts *account.Snapshot) (c oauth.Chain, ok bool) {
	_, id, _ := strings.Cut(name, ":")
	a, ok := accounts.ByID(id)
	if !ok {
		return c, false
	}
	c = oauth.ChainOf(a)
	return c, Name(c) == name
}

// placeOf is what a sealed record is bound to. The length keeps the parts from running
// together.
func placeOf(c oauth.Chain) string {
	return fmt.Sprintf("share record %d %s %x", len(c.AccountID), c.AccountID, c.Fingerprint)
}

// close seals a record.
func (v *Vault) close(c oauth.Chain, r oauth.Record) ([]byte, error) {
	r.Spare = account.Secret{}
	text, err := tokenstore.Marshal(r)
	if err != nil {
		return nil, err
	}
	sealed, err := v.cfg.Keys.Seal(string(text), placeOf(c))
	return []byte(sealed), err
}

// open opens a record; nil: there is none that can be used.
func (v *Vault) open(c oauth.Chain, sealed []byte) *oauth.Record {
	if len(sealed) == 0 {
		return nil
	}
	text, err := v.cfg.Keys.Open(string(sealed), placeOf(c))
	if err == nil {
		var r oauth.Record
		if r, err = tokenstore.Unmarshal([]byte(text)); err == nil {
			return &r
		}
	}
	v.tellOnce(c, err)
	return nil
}

// maxTold is how many causes are told: each names a key.
const maxTold = 16

// tellOnce logs why a record cannot be opened, once for each cause.
func (v *Vault) tellOnce(c oauth.Chain, cause error) {
	v.mu.Lock()
	known := v.told[cause.Error()] || len(v.told) >= maxTold
	if !known {
		v.told[cause.Error()] = true
	}
	v.mu.Unlock()
	if !known {
		v.log.Error("a token record of another proxy cannot be opened: such records are not used",
			zap.String("account", c.AccountID), zap.Error(cause))
	}
}
