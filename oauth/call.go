package oauth

import (
	"context"
	"time"

	"xoauth2-proxy/oauth/internal/workers"
)

// A call is one refresh of one source, from the first request to its answer.
type call struct {
	workers.Task // Early: no caller waits for it yet; guarded by Source.mu

	forced bool      // ignores what is remembered or stored; guarded by Source.mu
	quiet  bool      // refreshes nothing unless a caller waits; guarded by Source.mu
	asked  time.Time // when it was queued, or first waited for
	// waiters are told on the worker. Guarded by Source.mu.
	waiters []func(*Token, error)
	// stuck: its worker does not come back, and no caller is to wait for it. Guarded
	// by Source.mu.
	stuck bool

	// The answer; readable once done is closed.
	done  chan struct{}
	token *Token
	err   *Error
}

// answer returns the result in the form that callers get.
func (c *call) answer() (*Token, error) {
	if c.err != nil {
		return nil, c.err
	}
	return c.token, nil
}

// wait returns the answer, or the end of ctx as a transient error.
func (c *call) wait(ctx context.Context) (*Token, error) {
	select {
	case <-c.done:
		return c.answer()
	case <-ctx.Done():
		return nil, &Error{Class: ClassUnavailable, Err: context.Cause(ctx)}
	}
}
