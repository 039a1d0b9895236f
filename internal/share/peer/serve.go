package peer

import (
	"context"
	"fmt"
	"net"
	"sync"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/share"
)

// Service serves a store to the process at the other end of a socket.
type Service struct {
	link  *frames.Conn
	store share.Store
	ctx   context.Context
	stop  context.CancelFunc

	mu    sync.Mutex // guards calls against a wait that has begun
	calls sync.WaitGroup
	once  sync.Once
}

// Serve serves store over sock, which it takes.
func Serve(sock *net.UnixConn, store share.Store) *Service {
	s := &Service{store: store}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.link = frames.New(sock, s.hear)
	return s
}

// hear is called for each message of the client.
func (s *Service) hear(m *frames.Message) {
	if m.Kind == kindEvents {
		s.once.Do(func() { s.start(s.events) })
		_ = m.Answer(nil, nil)
		return
	}
	s.start(func() {
		answer, err := s.answer(m)
		_ = m.Answer(answer, err)
	})
}

// start runs f, unless the service ends.
func (s *Service) start(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil {
		s.calls.Go(f)
	}
}

// events tells the client what happens.
func (s *Service) events() {
	_ = s.store.Events(s.ctx, func(e share.Event) { _ = s.link.Tell(kindEvent, e) })
}

// answer carries out a question.
func (s *Service) answer(m *frames.Message) (any, error) {
	ctx, cancel := context.WithTimeout(s.ctx, share.CallTimeout)
	defer cancel()
	switch m.Kind {
	case kindRenew:
		r, err := body[renewal](m)
		if err != nil {
			return nil, err
		}
		return s.store.Renew(ctx, r.Node, r.Reports)
	case kindClaim, kindCommit, kindAbandon, kindRecord:
		c, err := body[claim](m)
		if err != nil {
			return nil, err
		}
		return s.claim(ctx, m.Kind, c)
	case kindOrder:
		o, err := body[share.Order](m)
		if err != nil {
			return nil, err
		}
		return nil, s.store.Order(ctx, o)
	case kindOrders:
		return s.store.Orders(ctx)
	case kindAnnounce:
		i, err := body[share.Info](m)
		if err != nil {
			return nil, err
		}
		return nil, s.store.Announce(ctx, i)
	case kindNodes:
		return s.store.Nodes(ctx)
	}
	return nil, frames.ErrUnknown
}

func (s *Service) claim(ctx context.Context, kind string, c claim) (any, error) {
	switch kind {
	case kindClaim:
		return s.store.Claim(ctx, c.Node, c.Chain, c.TTL)
	case kindCommit:
		return s.store.Commit(ctx, c.Node, c.Chain, c.Fence, c.Record)
	case kindAbandon:
		return nil, s.store.Abandon(ctx, c.Node, c.Chain, c.Fence)
	}
	return s.store.Record(ctx, c.Chain)
}

func body[T any](m *frames.Message) (v T, err error) {
	err = m.Body(&v)
	return v, err
}

// say tells the client what this process has counted.
func (s *Service) say(ctx context.Context, kind string, uses []Use) error {
	if _, err := s.link.Ask(ctx, kind, uses, nil); err != nil {
		return fmt.Errorf("cannot hand over what counts within the limits: %w", err)
	}
	return nil
}

// Close ends the service.
func (s *Service) Close() error {
	s.mu.Lock()
	s.stop()
	s.mu.Unlock()
	err := s.link.Close()
	s.calls.Wait()
	return err
}
