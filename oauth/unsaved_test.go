package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// rotator is a flow that replaces the refresh token each time.
type rotator struct {
	mu   sync.Mutex
	sent []string // refresh tokens
}

func (r *rotator) Fetch(_ context.Context, g flow.Grant) (flow.Issued, *Error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent = append(r.sent, g.Refresh.Reveal())
	n := len(r.sent)
	return flow.Issued{Access: fmt.Sprint("access-", n), Refresh: account.NewSecret(fmt.Sprint("rotated-", n)), Expiry: time.Now().Add(time.Hour)}, nil
}

// TestUnsavedTokens has a store that fails while a provider replaces a refresh token: the
// account's state says so, its later requests send the new one, and the store has it
// seconds after it works again, or at the end.
func TestUnsavedTokens(t *testing.T) {
	a := bubbleAccount(1)
	renewed := tokentest.AccountLike(a, func(a *account.Account) { a.ClientSecret = account.NewSecret("renewed") })
	again := tokentest.AccountLike(a, func(a *account.Account) { a.RefreshToken = account.NewSecret("refresh-again") })
	tests := []struct {
		name string
		of   *account.Account // in the end
		// while the store fails
		meanwhile func(t *testing.T, m *Manager)
		sent      []string
	}{
		{"nothing", a, func(*testing.T, *Manager) {}, []string{"refresh-configured"}},
		{"refreshed again", a, func(t *testing.T, m *Manager) {
			if err := m.ForceRefresh(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}, []string{"refresh-configured", "rotated-1"}},
		{"client secret renewed", renewed, func(t *testing.T, m *Manager) {
			m.Retain(snapshot(t, renewed))
			mustGet(t, m.Source(renewed))
		}, []string{"refresh-configured", "rotated-1"}},
		{"authorized again", again, func(t *testing.T, m *Manager) {
			m.Retain(snapshot(t, again))
			mustGet(t, m.Source(again))
		}, []string{"refresh-configured", "refresh-again"}},
		{"authorized again, with room", again, func(t *testing.T, m *Manager) {
			m.Retain(snapshot(t, again))
			m.cfg.Store.(keptStore).below.(watchedStore).Store.(*memoryStore).fail(nil)
			mustGet(t, m.Source(again))
		}, []string{"refresh-configured", "refresh-again"}},
		{"removed", a, func(t *testing.T, m *Manager) { m.Retain(snapshot(t)) }, []string{"refresh-configured"}},
		{"verified before it is known", a, func(t *testing.T, m *Manager) {
			m.Retain(snapshot(t))
			if err := m.ForceRefresh(t.Context(), a); err != nil {
				t.Fatal(err)
			}
		}, []string{"refresh-configured", "rotated-1"}},
		{"an hour", a, func(*testing.T, *Manager) { time.Sleep(time.Hour) }, []string{"refresh-configured"}},
	}
	for _, tt := range tests {
		for _, atEnd := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, at the end %t", tt.name, atEnd), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, provider := &memoryStore{err: errors.New("disk full")}, new(rotator)
					cfg := DefaultConfig()
					cfg.Store, cfg.EarlyRefreshWindow = store, 0
					core, logs := observer.New(zap.InfoLevel)
					m := newManager(cfg, provider, zap.New(core), metrics.NewSet())
					defer m.Close()
					m.Retain(snapshot(t, a))
					mustGet(t, m.Source(a))
					if st, _ := m.State(a.ID); !st.Unsaved {
						t.Error("the state does not say that the tokens are unsaved")
					}
					tt.meanwhile(t, m)
					if !slices.Equal(provider.sent, tt.sent) {
						t.Errorf("refresh tokens sent: %q, want %q", provider.sent, tt.sent)
					}
					refused := logs.FilterMessageSnippet("cannot be saved").Len()
					store.fail(nil)
					if atEnd {
						m.Close()
					} else {
						time.Sleep(saveInterval + time.Second)
						synctest.Wait()
					}
					want := fmt.Sprint("rotated-", len(tt.sent))
					if r, _, _ := store.Load(ChainOf(tt.of)); r.Refresh.Reveal() != want {
						t.Errorf("stored is %q, want %q", r.Refresh.Reveal(), want)
					}
					if st, ok := m.State(tt.of.ID); ok && st.Unsaved {
						t.Error("the state says that the tokens are unsaved")
					}
					if refused == 0 || refused > len(tt.sent)+1 {
						t.Errorf("%d lines say that the tokens cannot be saved", refused)
					}
				})
			})
		}
	}
}

// TestLostAtTheEnd says which tokens no try could save.
func TestLostAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Store = &memoryStore{err: errors.New("disk full")}
		core, logs := observer.New(zap.ErrorLevel)
		m := newManager(cfg, new(rotator), zap.New(core), metrics.NewSet())
		mustGet(t, m.Source(bubbleAccount(1)))
		m.Close()
		lost := logs.FilterMessageSnippet("refresh tokens that providers replaced are lost").All()
		if len(lost) != 1 || lost[0].ContextMap()["accounts"] != int64(1) {
			t.Errorf("logged: %v", lost)
		}
	})
}

// slowRotator is a rotator that answers the configured refresh token when it is told to.
type slowRotator struct {
	rotator
	answer chan struct{}
}

func (r *slowRotator) Fetch(ctx context.Context, g flow.Grant) (flow.Issued, *Error) {
	if g.Refresh.Reveal() == "refresh-configured" {
		<-r.answer
	}
	return r.rotator.Fetch(ctx, g)
}

// TestLateAnswer has an account authorized again while its former refresh token is used: what
// the provider answers to that late does not cost the new one.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := bubbleAccount(1)
		again := tokentest.AccountLike(a, func(a *account.Account) { a.RefreshToken = account.NewSecret("refresh-again") })
		store, provider := new(memoryStore), &slowRotator{answer: make(chan struct{})}
		cfg := DefaultConfig()
		cfg.Store, cfg.EarlyRefreshWindow = store, 0
		m := newManager(cfg, provider, nil, nil)
		defer m.Close()
		m.Retain(snapshot(t, a))
		m.Source(a).Request(func(*Token, error) {})
		synctest.Wait()
		m.Retain(snapshot(t, again))
		mustGet(t, m.Source(again))
		close(provider.answer)
		synctest.Wait()
		if r, _, _ := store.Load(ChainOf(again)); r.Refresh.Reveal() != "rotated-1" {
			t.Errorf("stored is %q", r.Refresh.Reveal())
		}
	})
}
