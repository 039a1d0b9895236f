package tokenstore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/oauth"
)

const fingerprintSize = sha256.Size

// record is oauth.Record as it is written.
type record struct {
	Refresh     string    `json:"refresh,omitempty"`
	Rotated     time.Time `json:"rotated,omitzero"`
	Access      string    `json:"access,omitempty"`
	Refreshed   time.Time `json:"refreshed,omitzero"`
	Expiry      time.Time `json:"expiry,omitzero"`
	Credentials []byte    `json:"credentials,omitempty"`
	Seen        time.Time `json:"seen,omitzero"`
	// Versions before ignore these, and drop them when they save the record.
	RefreshEnds  time.Time `json:"refresh_ends,omitzero"`
	RefreshRolls bool      `json:"refresh_rolls,omitempty"`
	Generation   uint64    `json:"generation,omitempty"`
	Spare        string    `json:"spare,omitempty"`
}

// keyOf returns the key of a chain: the length of the account's ID in two
// octets, the ID, the fingerprint. Chains of one account are neighbours, and no
// ID is the beginning of another's key.
func keyOf(c oauth.Chain) ([]byte, error) {
	if len(c.AccountID) > maxID {
		return nil, ErrAccountID
	}
	key := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(c.AccountID)+fingerprintSize), uint16(len(c.AccountID)))
	key = append(key, c.AccountID...)
	return append(key, c.Fingerprint[:]...), nil
}

// chainOf reads a key.
func chainOf(key []byte) (c oauth.Chain, ok bool) {
	if len(key) < 2 || len(key) != 2+int(binary.BigEndian.Uint16(key))+fingerprintSize {
		return oauth.Chain{}, false
	}
	id := key[2 : len(key)-fingerprintSize]
	copy(c.Fingerprint[:], key[len(key)-fingerprintSize:])
	c.AccountID = string(id)
	return c, true
}

// encode returns the value of a record.
func (s *Store) encode(key []byte, r oauth.Record) ([]byte, error) {
	text, err := Marshal(r)
	if err != nil || !s.keys.CanSeal() {
		return text, err
	}
	sealed, err := s.keys.Seal(string(text), string(key))
	return []byte(sealed), err
}

// Marshal returns the text of a record, in clear.
func Marshal(r oauth.Record) ([]byte, error) {
	w := record{Refresh: r.Refresh.Reveal(), Rotated: r.Rotated.UTC(), Access: r.Access.Reveal(),
		Refreshed: r.Refreshed.UTC(), Expiry: r.Expiry.UTC(), Seen: r.Seen.UTC(),
		RefreshEnds: r.RefreshEnds.UTC(), RefreshRolls: r.RefreshRolls, Generation: r.Generation, Spare: r.Spare.Reveal()}
	if !r.Access.IsZero() {
		w.Credentials = r.Credentials[:]
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("token store: a time cannot be written")
	}
	return text, nil
}

// unseal returns the text of a value. Its errors hold nothing of it.
func (s *Store) unseal(key []byte, value string) (text string, err error) {
	if !seal.IsSealed(value) {
		return value, nil
	}
	text, err = s.keys.Open(value, string(key))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrSealed, err)
	}
	return text, nil
}

// decode reads a value. Its errors hold nothing of it.
func (s *Store) decode(key []byte, value string) (oauth.Record, error) {
	value, err := s.unseal(key, value)
	if err != nil {
		return oauth.Record{}, err
	}
	return Unmarshal([]byte(value))
}

// Unmarshal reads what Marshal wrote. Its errors hold nothing of it.
func Unmarshal(text []byte) (oauth.Record, error) {
	var w record
	if json.Unmarshal(text, &w) != nil || w.Access != "" && len(w.Credentials) != fingerprintSize {
		return oauth.Record{}, ErrDamaged
	}
	r := oauth.Record{Refresh: account.NewSecret(w.Refresh), Rotated: w.Rotated, Access: account.NewSecret(w.Access),
		Refreshed: w.Refreshed, Expiry: w.Expiry, Seen: w.Seen,
		RefreshEnds: w.RefreshEnds, RefreshRolls: w.RefreshRolls, Generation: w.Generation, Spare: account.NewSecret(w.Spare)}
	copy(r.Credentials[:], w.Credentials)
	return r, nil
}
