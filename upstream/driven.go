package upstream

import (
	"errors"
	"net"
	"os"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/loop"
)

// drivenMax is the most content that a loop encrypts and sends by itself: more
// would hold up its other connections.
const drivenMax = 128 << 10

// drivable reports whether tx can be carried over c by a loop: a whole message
// that goes out in one flight.
func (r *Relay) drivable(c *conn, tx *Transaction) bool {
	return r.cfg.OnLoops && !r.cfg.DryRun && c.ext.Has(oneFlight) && tx.small()
}

// oneFlight are the extensions that take a message in one flight (RFC 2920, RFC
// 3030).
const oneFlight = codec.ExtPIPELINING | codec.ExtCHUNKING

// small reports whether tx is a whole message that a loop may carry.
func (tx *Transaction) small() bool { return tx.Content != nil && tx.Content.Size() <= drivenMax }

// wantedLoop is the loop that is to drive a connection that is opened for tx, if
// any.
func (tx *Transaction) wantedLoop() Loop {
	if !tx.small() {
		return nil
	}
	return tx.Loop
}

// driven is the part of a conn that belongs to the loop that drives it.
type driven struct {
	flight *flight // the message that is under way
	// spoiled: the connection is gone, or the provider has said something that
	// nobody asked for.
	spoiled bool
	since   time.Time // when the loop began to watch the connection
}

// freshness is what a look at a parked connection shows.
type freshness uint8

const (
	usable  freshness = iota
	pending           // the loop has not read yet what has come in
	stale
)

// Watched implements Driven.
func (c *conn) Watched(s Socket) {
	c.driven = driven{since: time.Now()}
	c.wire.driven, c.wire.socket, c.wire.tcp = true, s, nil
}

// Received implements Driven.
func (c *conn) Received(b []byte) {
	defer c.contain()
	c.wire.input = b
	loop.Lend(c.tls)
	if c.flight != nil {
		c.flight.read()
	} else {
		c.unasked()
	}
	loop.Reclaim(c.tls)
	c.wire.input = nil // borrowed
}

// Closed implements Driven.
func (c *conn) Closed(err error) {
	defer c.contain()
	if err == nil {
		err = net.ErrClosed
	}
	c.wire.socket = nil
	f := c.flight
	c.spoil()
	if f != nil && !f.busy { // else its end would come twice, and the TLS layer be entered again
		f.fail(err)
	}
}

// unasked reads what came without being asked for. A TLS session ticket and the
// like do no harm; anything that can be read does.
func (c *conn) unasked() {
	var b [1]byte
	if _, err := c.tls.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) {
		c.spoil()
		return
	}
	c.wire.begin() // all records were read
}

// recent is how long ago the loop may have asked for what has come in.
const recent = time.Millisecond

// state tells on the loop whether a connection that was parked can still be used.
func (c *conn) state(now time.Time) freshness {
	at := c.loop.Polled()
	if c.reused && at.After(c.lastUsed) && at.After(c.since) && now.Sub(at) < recent && !c.spoiled && !c.wire.partial() {
		return usable // whatever had come was handed to Received
	}
	return c.look()
}

// spoil has the shard drop the connection, if it is parked.
func (c *conn) spoil() {
	if !c.spoiled {
		c.spoiled = true
		c.shard.postOn(event{kind: evSpoiled, st: c.st, c: c, now: time.Now()}, c.loop)
	}
}

// drop breaks the connection.
func (c *conn) drop() {
	if c.wire.socket != nil {
		c.wire.socket.Close()
	}
}

// contain keeps a panic in the connection it happened on.
func (c *conn) contain() {
	p := recover()
	if p == nil {
		return
	}
	err := c.shard.relay.panicked(p)
	c.wire.input = nil
	if f := c.flight; f != nil {
		f.a.left = true // nothing is known any more
		f.a.lost = true
		f.fail(err)
		return
	}
	c.spoil()
}

// handOver has a loop drive c from now on, if it can: on may be nil. On an
// error the connection is gone.
func (w *worker) handOver(c *conn, st *accountState, on Loop) error {
	if on == nil || !c.ext.Has(oneFlight) || !w.relay.cfg.OnLoops || w.relay.cfg.DryRun || w.in.buffered() || !c.quiet() {
		return nil
	}
	w.holds.Store(nil)
	c.shard, c.st, c.loop = w.shard, st, on
	c.deadline, c.raw = time.Time{}, nil
	if err := on.Watch(c.wire.tcp, c); err != nil {
		w.relay.log.Warn("handing a connection to a loop", zap.Error(err))
		return err
	}
	return nil
}

// quiet reports whether the TLS layer holds back nothing: the records of the
// handshake are no more than it needed.
func (c *conn) quiet() bool {
	if c.wire.readAhead() {
		var b [1]byte
		c.wire.dry = true
		_, err := c.tls.Read(b[:])
		c.wire.dry = false
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
		c.wire.begin()
	}
	return !c.wire.partial()
}

// takeBack takes c from the loop that drives it, if one does. On an error the
// connection is gone, or was of no use any more.
func (w *worker) takeBack(c *conn) error {
	if c.loop != nil {
		r := recall{c: c, done: make(chan error, 1)}
		if !c.loop.Post(r) {
			return ErrClosed
		}
		if err := <-r.done; err != nil {
			return err
		}
		c.loop = nil
	}
	w.use(c)
	return nil
}

// recall takes a connection from its loop.
type recall struct {
	c    *conn
	done chan error // capacity 1
}

// Run implements Runner.
func (r recall) Run() { r.done <- r.c.release() }

func (c *conn) release() error {
	if c.spoiled {
		c.drop()
		return net.ErrClosed
	}
	tcp, err := c.wire.socket.Release()
	if err == nil {
		c.raw, err = tcp.SyscallConn()
	}
	if err != nil {
		c.spoiled = true
		return err
	}
	c.wire.driven, c.wire.socket, c.wire.tcp = false, nil, tcp
	return nil
}
