package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Modes of the store, see StoreConfig.
const (
	ModeKeep  = "keep"
	ModeDir   = "dir"
	ModeCount = "count"
)

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
	// StoreConfig.MaxBytes, and then BodyDropped is set.
	Body        []byte `json:"-"`
	BodyDropped bool   `json:"body_dropped,omitempty"`
}

// Recipient is an accepted forward-path with its parameters as on the wire.
type Recipient struct {
	Path   string   `json:"path"`
	Params []string `json:"params,omitempty"`
}

// store keeps accepted messages.
type store struct {
	cfg     StoreConfig
	lastID  atomic.Uint64
	total   atomic.Int64 // messages since the start or the last clear
	arrived notifier

	mu        sync.Mutex // guards what follows
	messages  []*Message // oldest first
	firstBody int        // index of the oldest message that still has its body
	bytes     int64      // of the bodies
	loads     map[string]*loadRun
	runs      []string // those of loads, the oldest first
}

func newStore(cfg StoreConfig) (*store, error) {
	st := &store{cfg: cfg, loads: map[string]*loadRun{}}
	if cfg.Mode != ModeDir {
		return st, nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
		return nil, err
	}
	// Numbers go on where an earlier run ended, so that nothing is overwritten.
	for _, id := range st.filesIDs() {
		st.lastID.Store(max(st.lastID.Load(), id))
	}
	return st, nil
}

// add takes an accepted message. build makes the Message without ID, digest
// and body; it is not called in mode count. content is borrowed. On error the
// message was not stored.
func (st *store) add(account string, content []byte, build func() *Message) (uint64, error) {
	id := st.lastID.Add(1)
	if st.cfg.Mode == ModeCount {
		st.mu.Lock()
		st.countLoad(account, content)
		st.mu.Unlock()
	} else {
		m := build()
		m.ID = id
		m.Size = int64(len(content))
		sum := sha256.Sum256(content)
		m.SHA256 = hex.EncodeToString(sum[:])
		m.Body = append(make([]byte, 0, len(content)), content...)
		if st.cfg.Mode == ModeDir {
			if err := st.writeFiles(m); err != nil {
				return 0, err
			}
		}
		st.mu.Lock()
		st.countLoad(account, content)
		st.keep(m)
		st.mu.Unlock()
	}
	st.total.Add(1)
	st.arrived.wake()
	return id, nil
}

// keep appends m and forgets the oldest beyond the bounds. st.mu is held.
func (st *store) keep(m *Message) {
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

func (st *store) list() []*Message {
	st.mu.Lock()
	defer st.mu.Unlock()
	return slices.Clone(st.messages)
}

func (st *store) clear() error {
	st.mu.Lock()
	st.messages, st.firstBody, st.bytes = nil, 0, 0
	st.loads, st.runs = map[string]*loadRun{}, nil
	st.total.Store(0)
	st.mu.Unlock()
	if st.cfg.Mode != ModeDir {
		return nil
	}
	for _, id := range st.filesIDs() {
		if !st.wrote(id) {
			continue
		}
		for _, ext := range []string{".eml", ".json"} {
			if err := os.Remove(st.file(id, ext)); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// wrote reports whether the files of a number are those of a message, unchanged:
// the envelope has the digest of the content.
func (st *store) wrote(id uint64) bool {
	envelope, err := os.ReadFile(st.file(id, ".json"))
	if err != nil {
		return false
	}
	content, err := os.ReadFile(st.file(id, ".eml"))
	if err != nil {
		return false
	}
	var m Message
	sum := sha256.Sum256(content)
	return json.Unmarshal(envelope, &m) == nil && m.ID == id && m.SHA256 == hex.EncodeToString(sum[:])
}

func (st *store) file(id uint64, ext string) string {
	return filepath.Join(st.cfg.Dir, fmt.Sprintf("%06d%s", id, ext))
}

// messageFile is the name of a file of a message, or of one that is being written.
var messageFile = regexp.MustCompile(`^([0-9]{6,})\.(eml|json)(\.tmp)?$`)

// filesIDs returns the numbers that are taken in the directory, in order.
func (st *store) filesIDs() (ids []uint64) {
	entries, _ := os.ReadDir(st.cfg.Dir) // what cannot be read has no messages of ours
	for _, e := range entries {
		m := messageFile.FindStringSubmatch(e.Name())
		if m == nil {
			continue
		}
		if id, err := strconv.ParseUint(m[1], 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// writeFiles writes content and envelope. The envelope comes last and whole:
// who sees NNNNNN.json finds NNNNNN.eml complete.
func (st *store) writeFiles(m *Message) error {
	envelope, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := writeWhole(st.file(m.ID, ".eml"), m.Body); err != nil {
		return err
	}
	return writeWhole(st.file(m.ID, ".json"), append(envelope, '\n'))
}

// writeWhole makes a file, whole or not at all. What has its name stays, and the
// error is fs.ErrExist.
func writeWhole(path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	_, err = f.Write(b)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Link(tmp, path)
}

// Messages returns the accepted messages that are kept, oldest first. In mode
// count there are none.
func (s *Server) Messages() []*Message { return s.store.list() }

// Message returns the message of that ID, or nil.
func (s *Server) Message(id uint64) *Message {
	for _, m := range s.store.list() {
		if m.ID == id {
			return m
		}
	}
	return nil
}

// WaitFor waits until n messages were accepted since the start or the last
// ClearMessages, and returns the kept ones.
func (s *Server) WaitFor(ctx context.Context, n int) ([]*Message, error) {
	if err := s.store.arrived.until(ctx, func() bool { return s.store.total.Load() >= int64(n) }); err != nil {
		return nil, fmt.Errorf("%d of %d messages arrived: %w", s.store.total.Load(), n, err)
	}
	return s.store.list(), nil
}

// ClearMessages forgets all messages and load runs; in mode dir it removes
// their files.
func (s *Server) ClearMessages() error { return s.store.clear() }
