package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"xoauth2-proxy/internal/listen"
)

// Open opens the listening socket of an address: "host:port", "unix:PATH", or
// "systemd:NAME" for one that systemd passed. See listen.Network for 0.0.0.0 and [::]. A
// socket of that address that was inherited goes before all.
func (p *Passed) Open(address string) (Socket, error) {
	kind, name, _ := strings.Cut(address, ":")
	if found := p.inherited[address]; len(found) > 0 {
		p.inherited[address] = found[1:]
		if kind != "unix" {
			name = ""
		}
		s, err := NewSocket(found[0], name)
		if err == nil {
			s.KeepFile(true) // it is the other process's still
		}
		return s, err
	}
	switch kind {
	case "unix":
		if err := removeStale(name); err != nil {
			return nil, err
		}
		return asSocket(name)(net.Listen("unix", name))
	case "systemd":
		return asSocket("")(p.take(name))
	}
	prepare := func(_, _ string, raw syscall.RawConn) error { return prepareAccepted(raw) }
	lc := net.ListenConfig{KeepAlive: -1, Control: prepare}
	return asSocket("")(lc.Listen(context.Background(), listen.Network(address), address))
}

// asSocket makes a Socket of what was listened on without an error.
func asSocket(path string) func(net.Listener, error) (Socket, error) {
	return func(ln net.Listener, err error) (Socket, error) {
		if err != nil {
			return nil, err
		}
		return NewSocket(ln, path)
	}
}

// removeStale removes a unix socket whose process has ended. It is an error if another
// process still listens on it.
func removeStale(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // listening will say what is wrong
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("listen unix %s: another process listens there", path)
	}
	return os.Remove(path)
}

// Passed are the sockets that this process was given by systemd, or by the process that it
// replaces. Each can be taken once only.
type Passed struct {
	byName    map[string][]net.Listener // of systemd
	inherited map[string][]net.Listener // by their addresses, as for Open
}

// Inherit adds a listening socket of the process that this one replaces. It owns f.
func (p *Passed) Inherit(address string, f *os.File) error {
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return err
	}
	if p.inherited == nil {
		p.inherited = make(map[string][]net.Listener)
	}
	p.inherited[address] = append(p.inherited[address], ln)
	return nil
}

// take gives away the socket of that name.
func (p *Passed) take(name string) (net.Listener, error) {
	if p.byName == nil {
		var err error
		if p.byName, err = activation.ListenersWithNames(); err != nil {
			return nil, err
		}
	}
	found := p.byName[name]
	if len(found) != 1 || found[0] == nil {
		return nil, fmt.Errorf("systemd passed no listening socket of name %q, or several", name)
	}
	delete(p.byName, name)
	if tcp, ok := found[0].(*net.TCPListener); ok {
		raw, err := tcp.SyscallConn()
		if err == nil {
			err = prepareAccepted(raw)
		}
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, syscall.ENOPROTOOPT) {
			_ = tcp.Close()
			return nil, err
		}
	}
	return found[0], nil
}

// Close closes the sockets that were not taken: nothing would accept from them.
func (p *Passed) Close() {
	for _, all := range []map[string][]net.Listener{p.byName, p.inherited} {
		for _, found := range all {
			for _, ln := range found {
				_ = ln.Close()
			}
		}
	}
}
