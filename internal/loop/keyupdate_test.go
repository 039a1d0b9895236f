package loop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"io"
	"strings"
	"testing"
)

// sealer encrypts TLS 1.3 records as a client does (RFC 8446 section 5.2): crypto/tls sends no
// KeyUpdate by itself.
type sealer struct {
	t      *testing.T
	hash   func() hash.Hash
	size   int // of the key
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// newSealer goes on where the handshake of c has ended, by its key log.
func newSealer(t *testing.T, c *tls.Conn, log string) *sealer {
	s := &sealer{t: t, hash: sha256.New, size: 16}
	if c.ConnectionState().CipherSuite == tls.TLS_AES_256_GCM_SHA384 {
		s.hash, s.size = sha512.New384, 32
	}
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			s.secret, _ = hex.DecodeString(f[2])
		}
	}
	s.rekey()
	return s
}

// expand is HKDF-Expand-Label (section 7.1).
func (s *sealer) expand(label string, n int) []byte {
	info := binary.BigEndian.AppendUint16(nil, uint16(n))
	info = append(append(info, byte(len("tls13 "+label))), "tls13 "+label+"\x00"...)
	key, err := hkdf.Expand(s.hash, s.secret, string(info), n)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

func (s *sealer) rekey() {
	block, err := aes.NewCipher(s.expand("key", s.size))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.t.Fatal(err)
	}
	s.iv, s.seq = s.expand("iv", s.aead.NonceSize()), 0
}

// record returns a record of that type.
func (s *sealer) record(kind byte, data string) []byte {
	inner := append([]byte(data), kind)
	header := []byte{23, 3, 3, 0, byte(len(inner) + s.aead.Overhead())}
	nonce := bytes.Clone(s.iv)
	binary.BigEndian.PutUint64(nonce[4:], binary.BigEndian.Uint64(nonce[4:])^s.seq)
	s.seq++
	return s.aead.Seal(header, nonce, inner, header)
}

// keyUpdate returns a KeyUpdate that asks for one (section 4.6.3).
func (s *sealer) keyUpdate() []byte {
	r := s.record(22, "\x18\x00\x00\x01\x01")
	s.secret = s.expand("traffic upd", s.hash().Size())
	s.rekey()
	return r
}

// TestKeyUpdatesOfADeafPeer: a peer that has keys updated and does not read the answers is
// hung up on; one that reads them is served.
func TestKeyUpdatesOfADeafPeer(t *testing.T) {
	e := startLoops(t, 1, nil)
	for _, deaf := range []bool{true, false} {
		r := newRecorder(func(r *recorder, e event) {
			if e.name == "opened" {
				r.conn.StartTLS(serverTLS())
			}
		})
		tcp := connect(t, e.Loops()[0], r)
		var log strings.Builder
		cfg := clientTLS(tls.VersionTLS13)
		cfg.KeyLogWriter = &log
		c := tls.Client(tcp, cfg)
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		r.expect(t, "opened", "secured")
		s := newSealer(t, c, log.String())
		if deaf {
			do(t, e.Loops()[0], func() { _ = r.conn.Write(make([]byte, 16<<20)) }) // more than sockets hold
		} else {
			go func() { _, _ = io.Copy(io.Discard, tcp) }()
		}
		var all []byte
		const rounds = 200
		for range rounds {
			for range 10 { // crypto/tls takes no more than 16 in a row
				all = append(all, s.keyUpdate()...)
			}
			all = append(all, s.record(23, "x")...)
		}
		if _, err := tcp.Write(all); err != nil && !deaf {
			t.Fatal(err)
		}
		if !deaf {
			r.receive(t, strings.Repeat("x", rounds))
			continue
		}
		e := r.next(t)
		for e.name == "received" {
			e = r.next(t)
		}
		if e.name != "closed" {
			t.Errorf("told %q, want closed", e.name)
		}
	}
}
