// Package succession has the parts of a running proxy hand over to another process, and take
// over from one.
package succession

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/debug"
	"syscall"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/loop"
	"xoauth2-proxy/internal/upgrade"
	"xoauth2-proxy/server"
)

// Running is a running proxy, for package upgrade.
type Running struct {
	upgrade.Giver
	Claims *Claims
	Server *server.Server
	// Addresses are those of the listeners of Server, as configured.
	Addresses []string
	Admin     *admin.Server
	Log       *zap.Logger
}

// Give implements upgrade.Giver. A refresh of a token that runs ends first: it does not know of
// the other process. Without Claims it knows: the store of the shared limits has the claims of
// both.
func (r *Running) Give(ctx context.Context, to *net.UnixConn) error {
	if r.Claims == nil {
		return r.Giver.Give(ctx, to)
	}
	defer r.Claims.Go()
	if err := r.Claims.Hold(ctx); err != nil {
		return err
	}
	return r.Giver.Give(ctx, to)
}

// Duplicates implements upgrade.Running.
func (r *Running) Duplicates() (sockets []upgrade.Socket, err error) {
	fds, err := r.Server.Duplicates()
	for i, fd := range fds {
		sockets = append(sockets, upgrade.Socket{Role: upgrade.Clients, Address: r.Addresses[i], FD: fd})
	}
	if err != nil {
		return sockets, err
	}
	err = r.Admin.Duplicates(func(name string, fd int) {
		sockets = append(sockets, upgrade.Socket{Role: upgrade.Admin, Address: name, FD: fd})
	})
	return sockets, err
}

// StopAccepting implements upgrade.Running.
func (r *Running) StopAccepting() {
	r.Server.Pause()
	if err := r.Admin.Pause(); err != nil { // out of descriptors: both take requests of operators for a time
		log := r.Log
		log.Error("upgrade: this process goes on to take requests of operators", zap.Error(err))
	}
}

// AcceptAgain implements upgrade.Running.
func (r *Running) AcceptAgain() {
	r.Server.Resume()
	r.Admin.Resume()
}

// Share implements upgrade.Running.
func (r *Running) Share(memory bool) { ShareMemory(memory) }

// inherit has the server and the admin server use the sockets of the old process, and accept
// nothing before they are resumed.
func inherit(n *upgrade.New, clients *server.Config, operators *admin.Config) error {
	clients.Passed, clients.Paused = new(loop.Passed), true
	operators.Inherited, operators.Paused = make(map[string]net.Listener), true
	for i, s := range n.Sockets {
		f := os.NewFile(uintptr(s.FD), s.Address)
		var err error
		if s.Role == upgrade.Clients {
			err = clients.Passed.Inherit(s.Address, f)
		} else {
			operators.Inherited[s.Address], err = net.FileListener(f)
			_ = f.Close()
		}
		if err != nil {
			for _, s := range n.Sockets[i+1:] {
				_ = syscall.Close(s.FD)
			}
			return fmt.Errorf("cannot use the socket of %s: %w", s.Address, err)
		}
	}
	return nil
}

// ShareMemory has the Go runtime keep to half of its limit while two processes run, or to the
// whole one again. It is called by one goroutine at a time.
func ShareMemory(share bool) {
	switch whole := debug.SetMemoryLimit(-1); {
	case whole == math.MaxInt64: // there is no limit
	case share == shared:
	case share:
		debug.SetMemoryLimit(whole / 2)
		shared = true
	default:
		debug.SetMemoryLimit(whole * 2)
		shared = false
	}
}

// shared: the limit is halved.
var shared bool
