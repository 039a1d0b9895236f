package password

import (
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

const (
	bcryptLength = 60 // octets: "$2b$12$", 22 of salt, 31 of hash
	bcryptHead   = 7
	bcryptSalt   = 22
	// Cost 14 is about a second of one CPU; each step doubles it.
	minBcryptCost, maxBcryptCost = bcrypt.MinCost, 14
)

// bcryptBase64 is the base64 of bcrypt strings. The last character of a salt
// may have spare bits set, as some implementations leave them.
var bcryptBase64 = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// bcryptHash is a secret hashed by bcrypt, as configured. Like every bcrypt it
// looks at the first 72 octets of a password only.
type bcryptHash []byte

// isBcrypt tells bcrypt by its prefix. $2a$, $2b$ and $2y$ mean the same
// algorithm; $2x$ was made by an implementation with a bug and is refused.
func isBcrypt(stored string) bool {
	return strings.HasPrefix(stored, "$2a$") || strings.HasPrefix(stored, "$2b$") || strings.HasPrefix(stored, "$2y$")
}

func parseBcrypt(stored string) (scheme, error) {
	if len(stored) != bcryptLength || stored[bcryptHead-1] != '$' {
		return nil, fmt.Errorf("%w: bcrypt: it has %d octets, want %d", ErrStored, len(stored), bcryptLength)
	}
	cost, ok := twoDigits(stored[bcryptHead-3:])
	if !ok || cost < minBcryptCost || cost > maxBcryptCost {
		return nil, fmt.Errorf("%w: bcrypt: its cost is not in %02d..%d", ErrStored, minBcryptCost, maxBcryptCost)
	}
	_, saltErr := bcryptBase64.DecodeString(stored[bcryptHead : bcryptHead+bcryptSalt])
	_, hashErr := bcryptBase64.Strict().DecodeString(stored[bcryptHead+bcryptSalt:])
	if saltErr != nil || hashErr != nil || strings.ContainsAny(stored, "\r\n") { // which the decoder skips
		return nil, fmt.Errorf("%w: bcrypt: salt or hash is not base64", ErrStored)
	}
	return bcryptHash(stored), nil
}

func twoDigits(s string) (n int, ok bool) {
	if s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

func (h bcryptHash) verify(password []byte) bool {
	return bcrypt.CompareHashAndPassword(h, password) == nil
}

func (bcryptHash) memory() int64 { return 0 } // 4 KiB

func (h bcryptHash) cost() string { return "$2b$" + string(h[bcryptHead-3:bcryptHead-1]) }

func (h bcryptHash) decoy() Secret {
	stored := h.cost() + "$" + bcryptBase64.EncodeToString(random(16)) + bcryptBase64.EncodeToString(random(23))
	return newSecret(stored, bcryptHash(stored))
}
