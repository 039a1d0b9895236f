package metric

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Providers has a T for each provider, by its key in the configuration. Only accounts
// name providers, and only those of the configuration: they are few.
type Providers[T any] struct {
	make  func(provider string) *T
	mu    sync.Mutex // serializes changes of known
	known atomic.Pointer[map[string]*T]
}

// NewProviders returns Providers that make a T when a provider is first asked for.
func NewProviders[T any](make func(provider string) *T) *Providers[T] {
	p := &Providers[T]{make: make}
	p.known.Store(new(map[string]*T))
	return p
}

// Of returns the T of a provider. Except for the first time it takes no lock and does
// not allocate.
func (p *Providers[T]) Of(provider string) *T {
	if t := (*p.known.Load())[provider]; t != nil {
		return t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	known := *p.known.Load()
	if t := known[provider]; t != nil {
		return t
	}
	t, more := p.make(provider), make(map[string]*T, len(known)+1)
	maps.Copy(more, known)
	more[provider] = t
	p.known.Store(&more)
	return t
}

// All returns the providers that have been asked for, each with its T.
func (p *Providers[T]) All() map[string]*T { return *p.known.Load() }
