package ledger

import (
	"context"
	"sync"

	"xoauth2-proxy/internal/share"
)

// events tells watchers what happens.
type events struct {
	mu       sync.Mutex
	closed   bool
	watchers map[*watcher]struct{}
}

// watcher keeps the events of one call of Events that it has not told yet.
type watcher struct {
	f      func(share.Event) // if it is not nil, events are told at once
	queue  []share.Event
	filled chan struct{} // has an element after something was added, and after the end
}

// tell tells all watchers of an event. The order of events is that of the calls.
func (s *events) tell(e share.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		if w.f != nil {
			w.f(e)
			continue
		}
		w.queue = append(w.queue, e)
		w.wake()
	}
}

func (w *watcher) wake() {
	select {
	case w.filled <- struct{}{}:
	default:
	}
}

// add adds a watcher, and returns what removes it; false: the ledger is closed.
func (s *events) add(w *watcher) (remove func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false
	}
	if s.watchers == nil {
		s.watchers = make(map[*watcher]struct{})
	}
	s.watchers[w] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}, true
}

// take takes what a watcher has not told yet; closed says that nothing more comes.
func (s *events) take(w *watcher) (queue []share.Event, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue, w.queue = w.queue, nil
	return queue, s.closed
}

func (s *events) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for w := range s.watchers {
		w.wake()
	}
}

// Watch calls f for each event, before the call that led to it returns, until stop is
// called. f must neither wait nor call the ledger.
func (l *Ledger) Watch(f func(share.Event)) (stop func()) {
	stop, ok := l.events.add(&watcher{f: f})
	if !ok {
		return func() {}
	}
	return stop
}

// Events calls f for each event, on the goroutine of the call, until ctx ends, or the ledger
// is closed. Events that come while f runs are kept.
func (l *Ledger) Events(ctx context.Context, f func(share.Event)) error {
	w := &watcher{filled: make(chan struct{}, 1)}
	remove, ok := l.events.add(w)
	if !ok {
		return ErrClosed
	}
	defer remove()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.filled:
		}
		queue, closed := l.events.take(w)
		for _, e := range queue {
			f(e)
		}
		if closed {
			return ErrClosed
		}
	}
}
