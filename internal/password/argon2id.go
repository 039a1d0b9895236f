package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of new hashes: OWASP's first choice for argon2id (Password Storage
// Cheat Sheet), with the salt and tag lengths of RFC 9106 section 4. The RFC's
// own second recommendation (t=3, m=64 MiB, p=4) is as strong against guessing
// as a proxy can use, but takes three times the memory for each login under
// way; hashes made with it are accepted.
const (
	newTime    = 2
	newMemory  = 19 * 1024 // KiB
	newThreads = 1
	newSalt    = 16 // octets
	newTag     = 32 // octets
)

// Limits of stored hashes. Those on memory, time and threads keep a stored
// string from occupying the machine: the product of the largest is about a
// second of work.
const (
	argon2idPrefix = "$argon2id$"

	maxMemory        = 64 * 1024 // KiB
	maxTime          = 10
	maxThreads       = 4
	minSalt, maxSalt = 8, 64 // octets
	minTag, maxTag   = 16, 64
	memoryPerThread  = 8 // KiB; RFC 9106 section 3.1
)

// ErrEmpty means an empty password.
var ErrEmpty = errors.New("password: empty password")

// phcBase64 is the base64 of PHC strings: no padding, and only one way to
// write each value.
var phcBase64 = base64.RawStdEncoding.Strict()

// argon2id is a secret hashed by argon2id (RFC 9106), version 0x13.
type argon2id struct {
	time, kib uint32
	threads   uint8
	salt, tag []byte
}

// Hash makes the stored form of a password, for the configuration: argon2id
// with a random salt, as a PHC string. It takes tens of milliseconds and 19 MiB.
// Error: ErrEmpty.
func Hash(password string) (string, error) {
	if password == "" {
		return "", ErrEmpty
	}
	a := newArgon2id()
	a.tag = a.compute([]byte(password))
	return a.encode(), nil
}

// newArgon2id has the parameters of a new hash and a random salt.
func newArgon2id() argon2id {
	return argon2id{time: newTime, kib: newMemory, threads: newThreads, salt: random(newSalt), tag: make([]byte, newTag)}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails; see its documentation
	return b
}

func (a argon2id) compute(password []byte) []byte {
	return argon2.IDKey(password, a.salt, a.time, a.kib, a.threads, uint32(len(a.tag)))
}

func (a argon2id) verify(password []byte) bool {
	return subtle.ConstantTimeCompare(a.compute(password), a.tag) == 1
}

func (a argon2id) memory() int64 { return int64(a.kib) << 10 }

func (a argon2id) cost() string { return argon2idPrefix + a.parameters() }

func (a argon2id) decoy() Secret {
	a.salt, a.tag = random(len(a.salt)), random(len(a.tag))
	return newSecret(a.encode(), a)
}

func (a argon2id) parameters() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", a.kib, a.time, a.threads)
}

func (a argon2id) encode() string {
	return argon2idPrefix + "v=" + strconv.Itoa(argon2.Version) + "$" + a.parameters() +
		"$" + phcBase64.EncodeToString(a.salt) + "$" + phcBase64.EncodeToString(a.tag)
}

// parseArgon2id reads a PHC string as the reference implementation writes it.
func parseArgon2id(stored string) (scheme, error) {
	fields := strings.Split(stored[len(argon2idPrefix):], "$")
	if len(fields) != 4 {
		return nil, badArgon2id("want $argon2id$v=19$m=..,t=..,p=..$salt$hash")
	}
	if fields[0] != "v="+strconv.Itoa(argon2.Version) {
		return nil, badArgon2id("its version is not %d", argon2.Version)
	}
	m, t, p, ok := argon2Parameters(fields[1])
	if !ok {
		return nil, badArgon2id("parameters are not m=..,t=..,p=..")
	}
	switch {
	case p < 1 || p > maxThreads:
		return nil, badArgon2id("p=%d is not in 1..%d", p, maxThreads)
	case m < memoryPerThread*p || m > maxMemory:
		return nil, badArgon2id("m=%d KiB is not in %d..%d", m, memoryPerThread*p, maxMemory)
	case t < 1 || t > maxTime:
		return nil, badArgon2id("t=%d is not in 1..%d", t, maxTime)
	}
	salt, saltErr := phcBase64.DecodeString(fields[2])
	tag, tagErr := phcBase64.DecodeString(fields[3])
	switch {
	case saltErr != nil || tagErr != nil || strings.ContainsAny(stored, "\r\n"): // which the decoder skips
		return nil, badArgon2id("salt or hash is not base64 without padding")
	case len(salt) < minSalt || len(salt) > maxSalt:
		return nil, badArgon2id("its salt has %d octets, want %d..%d", len(salt), minSalt, maxSalt)
	case len(tag) < minTag || len(tag) > maxTag:
		return nil, badArgon2id("its hash has %d octets, want %d..%d", len(tag), minTag, maxTag)
	}
	return argon2id{time: t, kib: m, threads: uint8(p), salt: salt, tag: tag}, nil
}

func badArgon2id(format string, args ...any) error {
	return fmt.Errorf("%w: argon2id: %s", ErrStored, fmt.Sprintf(format, args...))
}

// argon2Parameters reads "m=..,t=..,p=..", numbers without leading zeros.
func argon2Parameters(field string) (m, t, p uint32, ok bool) {
	parts := strings.Split(field, ",")
	if len(parts) != 3 {
		return 0, 0, 0, false
	}
	var values [3]uint32
	for i, name := range []string{"m=", "t=", "p="} {
		text, found := strings.CutPrefix(parts[i], name)
		v, err := strconv.ParseUint(text, 10, 32)
		if !found || err != nil || strconv.FormatUint(v, 10) != text {
			return 0, 0, 0, false
		}
		values[i] = uint32(v)
	}
	return values[0], values[1], values[2], true
}
