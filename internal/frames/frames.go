package frames

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Errors of questions.
var (
	// ErrGone: the connection has ended, and so has the other process.
	ErrGone = errors.New("the other process has ended")
	// ErrUnknown: the other process does not know messages of that kind.
	ErrUnknown = errors.New("the other process does not know this kind of message")
	// ErrFull: the other process reads nothing, and too much waits for it.
	ErrFull = errors.New("the other process does not read what it is sent")
)

// RemoteError is an error that the other process answered by: its text.
type RemoteError string

// Error is the text.
func (e RemoteError) Error() string { return string(e) }

// Message is what the other process sent.
type Message struct {
	Kind string
	// Files are owned by the receiver.
	Files []*os.File

	body   json.RawMessage
	conn   *Conn
	number uint64
}

// Body decodes the body of the message.
func (m *Message) Body(to any) error {
	if err := json.Unmarshal(m.body, to); err != nil {
		return fmt.Errorf("cannot read the message %q: %w", m.Kind, err)
	}
	return nil
}

// Answer answers a message, once, with body or with the text of an error. Without a question
// it does nothing.
func (m *Message) Answer(body any, err error, files ...*os.File) error {
	if m.number == 0 {
		return nil
	}
	if err != nil {
		return m.conn.send(header{flags: flagAnswer | flagFailed, number: m.number}, err.Error(), nil)
	}
	return m.conn.send(header{flags: flagAnswer, number: m.number}, body, files)
}

// Conn is one end of a connection. Its methods are safe for concurrent use; none but Ask and
// Close waits.
type Conn struct {
	sock   *net.UnixConn
	handle func(*Message)
	gone   chan struct{}
	most   int // octets that may be queued

	mu     sync.Mutex // guards what follows; a leaf
	wake   sync.Cond  // out or ended has changed
	out    []frame
	queued int // octets in out
	number uint64
	asked  map[uint64]chan reply
	ended  error

	loops sync.WaitGroup
}

// reply is the answer to a question.
type reply struct {
	body  []byte
	files []*os.File
	err   error
}

// message is the text of a frame that is no answer.
type message struct {
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Pair returns two connected sockets.
func Pair() (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a pair of sockets: %w", err)
	}
	if a, err = From(os.NewFile(uintptr(fds[0]), "pair")); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[1]))
	}
	if b, err = From(os.NewFile(uintptr(fds[1]), "pair")); err != nil {
		return nil, nil, errors.Join(err, a.Close())
	}
	return a, b, nil
}

// From makes a connection of a socket that was inherited or received. It takes file.
func From(file *os.File) (*net.UnixConn, error) {
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, fmt.Errorf("cannot use a socket: %w", err)
	}
	sock, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("cannot use a socket: it is not a unix socket"), conn.Close())
	}
	return sock, nil
}

// New takes sock. handle gets each message, one after the other, and must not wait.
func New(sock *net.UnixConn, handle func(*Message)) *Conn {
	c := &Conn{sock: sock, handle: handle, gone: make(chan struct{}), most: maxQueued, asked: make(map[uint64]chan reply)}
	c.wake.L = &c.mu
	c.loops.Go(c.write)
	c.loops.Go(c.read)
	return c
}

// Gone is closed when the connection has ended.
func (c *Conn) Gone() <-chan struct{} { return c.gone }

// Err says why the connection has ended; nil: it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Tell sends a message. The files stay the caller's, and may be closed at once.
func (c *Conn) Tell(kind string, body any, files ...*os.File) error {
	return c.sendMessage(0, kind, body, files)
}

func (c *Conn) sendMessage(number uint64, kind string, body any, files []*os.File) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot write the message %q: %w", kind, err)
	}
	return c.send(header{number: number}, message{kind, text}, files)
}

// Ask sends a question and waits for its answer, which it decodes into answer unless that is
// nil. It returns the files of the answer, which are the caller's. Errors: those of ctx,
// ErrGone, ErrFull, ErrUnknown, and a RemoteError. After an error but the last two it is not
// known whether the question was heard.
func (c *Conn) Ask(ctx context.Context, kind string, body, answer any, files ...*os.File) ([]*os.File, error) {
	answered := make(chan reply, 1)
	c.mu.Lock()
	c.number++
	number := c.number
	c.asked[number] = answered
	c.mu.Unlock()
	defer c.forget(number, answered)
	if err := c.sendMessage(number, kind, body, files); err != nil {
		return nil, err
	}
	select {
	case r := <-answered:
		if r.err == nil && answer != nil {
			if err := json.Unmarshal(r.body, answer); err != nil {
				closeAll(r.files)
				return nil, fmt.Errorf("cannot read the answer to %q: %w", kind, err)
			}
		}
		return r.files, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %q: %w", kind, ctx.Err())
	case <-c.gone:
		return nil, ErrGone
	}
}

// forget ends the wait for an answer.
func (c *Conn) forget(number uint64, answered chan reply) {
	c.mu.Lock()
	delete(c.asked, number)
	c.mu.Unlock()
	select {
	case r := <-answered: // it came too late
		closeAll(r.files)
	default:
	}
}

// Close ends the connection: what waits to be sent is lost. It waits for handle to return.
func (c *Conn) Close() error {
	c.end(ErrGone)
	c.loops.Wait()
	return nil
}

// end ends the connection because of err, once.
func (c *Conn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return
	}
	c.ended = err
	_ = c.sock.Close()
	for _, f := range c.out {
		closeAll(f.files)
	}
	c.out = nil
	c.wake.Broadcast()
	close(c.gone)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}
