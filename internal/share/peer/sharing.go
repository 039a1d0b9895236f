package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/share"
)

// Sharing is the part of a process in an upgrade: first perhaps as the new one, and later as
// the old one. Its methods are safe for concurrent use.
type Sharing struct {
	// Switch is the pool of the process.
	*Switch
	// Name is the one of both processes as nodes; Version is the program's.
	Name, Version string
	Log           *zap.Logger

	one     sync.Mutex // one change at a time
	mu      sync.Mutex // guards what follows; a leaf
	member  *share.Member
	host    *Host    // nil: this process is not the old one
	service *Service // of host
	client  *Client  // nil: this process is not the new one
	ended   chan struct{}
}

// errShares: the process shares already.
var errShares = errors.New("this process shares its limits already")

// begin has the process be a node of store.
func (s *Sharing) begin(store share.Store) (*share.Member, error) {
	cfg := share.Config{Node: s.Name, Version: s.Version}
	m := share.NewMember(cfg, store, s.Log, metrics.NewSet()) // for minutes, so without metrics
	s.Switch.Share(m)                                         // before it starts: its first call has all mailboxes
	if err := m.Start(); err != nil {
		s.Switch.Alone(nil, false)
		return nil, err
	}
	return m, nil
}

// Host has this process, the old one, share with the one that gets the socket. It returns when
// the store knows all that this process has.
func (s *Sharing) Host(ctx context.Context) (theirs *net.UnixConn, err error) {
	s.one.Lock()
	defer s.one.Unlock()
	s.mu.Lock()
	busy := s.member != nil
	s.mu.Unlock()
	if busy {
		return nil, errShares
	}
	ours, theirs, err := frames.Pair()
	if err != nil {
		return nil, err
	}
	host := NewHost(s.Switch, s.Name)
	service := Serve(ours, remote{host})
	host.listened(func(ctx context.Context, list []granted) { _, _ = service.link.Ask(ctx, kindUsed, list, nil) })
	before := s.Uses()
	member, err := s.begin(host)
	if err != nil {
		return nil, errors.Join(err, service.Close(), theirs.Close())
	}
	s.mu.Lock()
	s.member, s.host, s.service = member, host, service
	s.mu.Unlock()
	select {
	case <-host.asked:
		_ = service.link.Tell(kindBefore, before) // an error is the end of the client
		return theirs, nil
	case <-ctx.Done():
		s.alone()
		return nil, errors.Join(fmt.Errorf("the store of the shared limits does not know all yet: %w", ctx.Err()), theirs.Close())
	}
}

// Use has this process, the new one, share with the host at the other end of sock, which it
// takes, until that has ended: then it is alone with what both have counted. It returns after
// the first answer, or when the host has ended.
func (s *Sharing) Use(ctx context.Context, sock *net.UnixConn) error {
	s.one.Lock()
	defer s.one.Unlock()
	client := NewClient(sock)
	member, err := s.begin(client)
	if err != nil {
		return errors.Join(err, client.Close())
	}
	ended := make(chan struct{})
	s.mu.Lock()
	s.member, s.client, s.ended = member, client, ended
	s.mu.Unlock()
	go func() {
		defer close(ended)
		<-client.Gone()
		uses, whole := client.Uses(s.Switch)
		s.Switch.Alone(uses, whole)
		member.Close()
		_ = client.Close()
		s.mu.Lock()
		s.member, s.client = nil, nil
		s.mu.Unlock()
	}()
	select {
	case <-client.renewed:
	case <-client.Gone():
	case <-ctx.Done():
		return fmt.Errorf("the old process does not answer: %w", ctx.Err())
	}
	return nil
}

// Alone has the old process go on alone, after the new one has ended.
func (s *Sharing) Alone() {
	s.one.Lock()
	defer s.one.Unlock()
	s.alone()
}

func (s *Sharing) alone() {
	s.mu.Lock()
	member, host, service := s.member, s.host, s.service
	if host != nil {
		s.member, s.host, s.service = nil, nil, nil
	}
	s.mu.Unlock()
	if host == nil {
		return
	}
	_ = service.Close() // no report comes any more
	s.Switch.Alone(host.Others(), false)
	member.Close()
	_ = host.Close()
}

// Finish tells the new process what this one has counted, at its end.
func (s *Sharing) Finish(ctx context.Context) error {
	s.mu.Lock()
	service := s.service
	s.mu.Unlock()
	if service == nil {
		return nil
	}
	return service.say(ctx, kindUses, s.Uses())
}

// Store is the store that is shared, nil while the process is alone. Its node is Node.
func (s *Sharing) Store() (store share.Store, node share.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.member == nil:
		return nil, node
	case s.host != nil:
		return s.host, s.member.Node()
	}
	return s.client, s.member.Node()
}

// Close ends it all, at the end of the process.
func (s *Sharing) Close() {
	s.mu.Lock()
	client, ended := s.client, s.ended
	s.mu.Unlock()
	if client != nil {
		_ = client.Close()
		<-ended
	}
	s.Alone()
}
