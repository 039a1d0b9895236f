package wait

import (
	"context"
	"net"
	"sync"

	"xoauth2-proxy/internal/listen"
)

// Conns are the connections of one server, from accept to end. Make one with
// NewConns. Its methods may be called from any goroutine.
type Conns struct {
	done  chan struct{}  // closed by Close
	wg    sync.WaitGroup // accept loops and connections
	ended Notifier       // of connections

	mu        sync.Mutex // guards what follows
	closed    bool
	listeners map[net.Listener]struct{}
	open      map[*net.TCPConn]struct{}
}

// NewConns returns Conns without a listener.
func NewConns() *Conns {
	return &Conns{done: make(chan struct{}), listeners: map[net.Listener]struct{}{}, open: map[*net.TCPConn]struct{}{}}
}

// Done returns a channel that Close closes first.
func (c *Conns) Done() <-chan struct{} { return c.done }

// Serve takes a TCP listener and accepts its connections, in a goroutine, until
// it or c is closed. begin is called for each connection in the order in which
// they came; the function that it returns serves the connection in a goroutine of
// its own. If c is closed, Serve closes ln and returns net.ErrClosed.
func (c *Conns) Serve(ln net.Listener, begin func(*net.TCPConn) (serve func())) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		ln.Close()
		return net.ErrClosed
	}
	c.listeners[ln] = struct{}{}
	c.wg.Go(func() {
		listen.Accept(ln, nil, func(conn net.Conn) { c.start(conn.(*net.TCPConn), begin) })
		c.mu.Lock()
		delete(c.listeners, ln)
		c.mu.Unlock()
	})
	return nil
}

// start makes conn one of c's, unless c is closed, and serves it.
func (c *Conns) start(conn *net.TCPConn, begin func(*net.TCPConn) (serve func())) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		conn.Close()
		return
	}
	c.open[conn] = struct{}{}
	c.wg.Add(1)
	c.mu.Unlock()
	serve := begin(conn)
	go func() {
		defer c.wg.Done()
		serve()
		c.mu.Lock()
		delete(c.open, conn)
		c.mu.Unlock()
		c.ended.Wake()
	}()
}

// UntilNone waits until no connection is open.
func (c *Conns) UntilNone(ctx context.Context) error {
	return c.ended.Until(ctx, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.open) == 0
	})
}

// Disconnect closes the connections that are open, without a word.
func (c *Conns) Disconnect() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		conn.Close()
	}
}

// Close closes all listeners and connections, and waits for their goroutines.
func (c *Conns) Close() {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.done)
	}
	for ln := range c.listeners {
		ln.Close()
	}
	c.mu.Unlock()
	c.Disconnect()
	c.wg.Wait()
}
