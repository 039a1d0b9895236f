package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Modes of a store, see Config.
const (
	ModeKeep  = "keep"
	ModeDir   = "dir"
	ModeCount = "count"
)

// Config says what becomes of accepted messages.
type Config struct {
	// Mode is "keep" (default): in memory; "dir": in memory and in files; or
	// "count": only counters and the numbers of load messages are kept.
	Mode string `json:"mode"`
	// Dir is the directory of mode "dir".
	Dir string `json:"dir"`
	// MaxBytes bounds the content in memory: the oldest is forgotten first,
	// its envelope stays. Default: 256 MiB.
	MaxBytes int64 `json:"max_bytes"`
	// MaxMessages bounds the envelopes in memory. Default: 200,000.
	MaxMessages int `json:"max_messages"`
	// Accepted, if not nil, is called with each message that was stored, before its
	// client is answered. It may be called from several goroutines at one time.
	Accepted func(*Message) `json:"-"`
}

// WithDefaults returns c with its defaults filled in.
func (c Config) WithDefaults() Config {
	c.Mode = cmp.Or(c.Mode, ModeKeep)
	c.MaxBytes = cmp.Or(c.MaxBytes, 256<<20)
	c.MaxMessages = cmp.Or(c.MaxMessages, 200_000)
	return c
}

// Message is one accepted message. It is immutable.
type Message struct {
	ID          uint64      `json:"id"`
	Time        time.Time   `json:"time"`
	Endpoint    string      `json:"endpoint"`
	Account     string      `json:"account"`    // the login it came under
	Connection  uint64      `json:"connection"` // number of the connection
	ReversePath string      `json:"reverse_path"`
	Params      []string    `json:"params,omitempty"` // of MAIL, as on the wire
	Recipients  []Recipient `json:"recipients"`       // the accepted ones
	Verb        string      `json:"verb"`             // "DATA" or "BDAT"
	Chunks      int         `json:"chunks,omitempty"` // of BDAT
	Size        int64       `json:"size"`             // octets of content, unstuffed
	SHA256      string      `json:"sha256"`           // of the content, in hex
	// Body is the content; nil once it was dropped to stay within
	// Config.MaxBytes, and then BodyDropped is set.
	Body        []byte `json:"-"`
	BodyDropped bool   `json:"body_dropped,omitempty"`
}

// Recipient is an accepted forward-path with its parameters as on the wire.
type Recipient struct {
	Path   string   `json:"path"`
	Params []string `json:"params,omitempty"`
}

// Store keeps accepted messages. Its methods may be called from any goroutine.
type Store struct {
	cfg     Config
	lastID  atomic.Uint64
	total   atomic.Int64 // messages since the start or the last clear
	arrived wait.Notifier

	mu        sync.Mutex // guards what follows
	messages  []*Message // oldest first
	firstBody int        // index of the oldest message that still has its body
	bytes     int64      // of the bodies
	loads     map[string]*loadRun
	runs      []string // the keys of loads, oldest first
}

// New opens a store. cfg has its defaults filled in.
func New(cfg Config) (*Store, error) {
	st := &Store{cfg: cfg, loads: map[string]*loadRun{}}
	if cfg.Mode != ModeDir {
		return st, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	// Numbers go on where an earlier run ended, so that nothing is overwritten.
	if ids := st.taken(); len(ids) > 0 {
		st.lastID.Store(ids[len(ids)-1])
	}
	return st, nil
}

// Add takes an accepted message and returns its ID. build makes the Message
// without ID, size, digest and body; it is not called in mode count. content is
// borrowed. On error the message was not stored.
func (st *Store) Add(account string, content []byte, build func() *Message) (uint64, error) {
	id := st.lastID.Add(1)
	var m *Message
	if st.cfg.Mode != ModeCount {
		m = build()
		m.ID, m.Size, m.SHA256 = id, int64(len(content)), digest(content)
		m.Body = append(make([]byte, 0, len(content)), content...)
	}
	if st.cfg.Mode == ModeDir {
		if err := st.writeFiles(m); err != nil {
			return 0, err
		}
	}
	st.mu.Lock()
	st.countLoad(account, content)
	if m != nil {
		st.keep(m)
	}
	st.mu.Unlock()
	st.total.Add(1)
	st.arrived.Wake()
	if m != nil && st.cfg.Accepted != nil {
		st.cfg.Accepted(m)
	}
	return id, nil
}

// digest returns the SHA-256 of content in hex.
func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// keep appends m and forgets the oldest beyond the bounds. st.mu is held.
func (st *Store) keep(m *Message) {
	st.messages = append(st.messages, m)
	st.bytes += int64(len(m.Body))
	for st.bytes > st.cfg.MaxBytes && st.firstBody < len(st.messages) {
		old := st.messages[st.firstBody]
		bare := *old // readers may hold the old one
		bare.Body, bare.BodyDropped = nil, true
		st.messages[st.firstBody] = &bare
		st.bytes -= int64(len(old.Body))
		st.firstBody++
	}
	for len(st.messages) > st.cfg.MaxMessages {
		st.bytes -= int64(len(st.messages[0].Body))
		st.messages[0] = nil
		st.messages = st.messages[1:]
		st.firstBody = max(st.firstBody-1, 0)
	}
}

// Messages returns the accepted messages that are kept, oldest first. In mode
// count there are none.
func (st *Store) Messages() []*Message {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.messages)
}

// Message returns the message with that ID, or nil.
func (st *Store) Message(id uint64) *Message {
	for _, m := range st.Messages() {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// WaitFor waits until n messages were accepted since the start or the last
// ClearMessages, and returns the kept ones.
func (st *Store) WaitFor(ctx context.Context, n int) ([]*Message, error) {
	if err := st.arrived.Until(ctx, func() bool { return st.total.Load() >= int64(n) }); err != nil {
		return nil, fmt.Errorf("%d of %d messages arrived: %w", st.total.Load(), n, err)
	}
	return st.Messages(), nil
}

// ClearMessages forgets all messages and load runs; in mode dir it removes
// their files.
func (st *Store) ClearMessages() error {
	st.mu.Lock()
	st.messages, st.firstBody, st.bytes = nil, 0, 0
	st.loads, st.runs = map[string]*loadRun{}, nil
	st.total.Store(0)
	st.mu.Unlock()
	return st.removeFiles()
}
