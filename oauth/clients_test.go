package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/circuit"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// clientAccount is account n of a client.
func clientAccount(n int, client string) *account.Account {
	a := bubbleAccount(n)
	a.ClientID = client
	return a
}

// A refused client is asked for once, logged once, and tried again by another account
// at long intervals.
func TestClientRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.ErrorLevel)
		fake := &fakeFlow{err: &Error{Class: flow.ClassInvalidClient, Status: 401}}
		m := newManager(DefaultConfig(), fake, zap.New(core), nil)
		defer m.Close()
		const n = 100
		for i := range n {
			if _, err := m.Source(clientAccount(i, "bad")).Get(t.Context()); !errors.Is(err, ErrInvalidClient) {
				t.Fatalf("account %d: %v", i, err)
			}
		}
		if got := fake.count(); got != 1 {
			t.Errorf("%d requests for %d accounts, want 1", got, n)
		}
		if logs.Len() != 1 || logs.All()[0].ContextMap()["client_id"] != "bad" {
			t.Errorf("alerts: %v", logs.All())
		}
		if got := m.clients.CountRefused(); got != 1 {
			t.Errorf("%d refused clients", got)
		}
		fake.set(func(f *fakeFlow) { f.err = nil })
		mustGet(t, m.Source(clientAccount(n, "good"))) // another client's affairs go on
		time.Sleep(circuit.RefusedMin + time.Minute)   // by then the new secret is known everywhere
		mustGet(t, m.Source(clientAccount(1, "bad")))
		mustGet(t, m.Source(clientAccount(2, "bad")))
		if m.clients.CountRefused() != 0 {
			t.Error("the client still counts as refused")
		}
		mustGet(t, m.Source(clientAccount(0, "bad"))) // the account that was refused itself, too
	})
}

// The only account of a client that is refused is not asked for again, until
// there is a new configuration or an operator releases it. All others are told why
// they have no token.
func TestClientReleased(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: flow.ClassInvalidClient, Status: 401, Hint: hint.ClientSecretExpired}
		asked := clientAccount(0, "bad")
		other := tokentest.AccountLike(clientAccount(1, "bad"), func(a *account.Account) { a.Email = "other@example.com" })
		m.Retain(snapshot(t, asked, other))
		refused := func(want int) {
			t.Helper()
			for _, a := range []*account.Account{asked, other} {
				if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidClient) {
					t.Errorf("%s: %v", a.ID, err)
				}
				st, _ := m.State(a.ID)
				if st.LastError == nil || st.LastError.Class != flow.ClassInvalidClient || st.LastError.Hint != hint.ClientSecretExpired || st.LastErrorAt.IsZero() {
					t.Errorf("%s: state %+v", a.ID, st)
				}
			}
			if n := f.count(); n != want {
				t.Errorf("%d requests, want %d", n, want)
			}
		}
		refused(1)
		m.Release(other.ID)
		m.Release("nobody")
		refused(2)
		m.Release(asked.ID)
		f.set(func(f *fakeFlow) { f.err = nil })
		mustGet(t, m.Source(other))
		mustGet(t, m.Source(asked))
		if st, _ := m.State(other.ID); st.LastError != nil {
			t.Errorf("state %+v", st)
		}
	})
}

// After another account has found the client to be right, the state of the refused
// account has no error.
func TestStateOfClientFoundRight(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: flow.ClassInvalidClient, Status: 401}
		asked := clientAccount(0, "bad")
		other := tokentest.AccountLike(clientAccount(1, "bad"), func(a *account.Account) { a.Email = "other@example.com" })
		m.Retain(snapshot(t, asked, other))
		if _, err := m.Source(asked).Get(t.Context()); !errors.Is(err, ErrInvalidClient) {
			t.Errorf("the refused account: %v", err)
		}
		time.Sleep(circuit.RefusedMin)
		f.set(func(f *fakeFlow) { f.err = nil })
		mustGet(t, m.Source(other))
		if st, _ := m.State(asked.ID); st.LastError != nil || !st.LastErrorAt.IsZero() {
			t.Errorf("state %+v", st)
		}
	})
}

// An account that was refused for good is asked for again after its release by an
// operator. A Retry-After of the endpoint is obeyed nevertheless.
func TestAccountReleased(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		a := bubbleAccount(1)
		m.Retain(snapshot(t, a))
		for _, tt := range []struct {
			err   *Error
			again int // requests after Release
		}{
			{&Error{Class: ClassInvalidGrant, Status: 400}, 1},
			{&Error{Class: ClassThrottled, Status: http.StatusTooManyRequests, RetryAfter: time.Hour}, 0},
		} {
			f.set(func(f *fakeFlow) { f.err = tt.err })
			before := f.count()
			for range 3 {
				if _, err := m.Source(a).Get(t.Context()); !sameRefusal(err, tt.err) {
					t.Errorf("%v, want %v", err, tt.err)
				}
			}
			m.Release(a.ID)
			_, _ = m.Source(a).Get(t.Context())
			if n := f.count() - before; n != 1+tt.again {
				t.Errorf("%v: %d requests, want %d", tt.err, n, 1+tt.again)
			}
			m.Release(a.ID)
		}
	})
}

// A new secret is another client: no account waits.
func TestClientWithNewSecret(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: flow.ClassInvalidClient, Status: 401}
		a := clientAccount(1, "c")
		if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidClient) {
			t.Fatal(err)
		}
		f.set(func(f *fakeFlow) { f.err = nil })
		b := tokentest.AccountLike(a, func(a *account.Account) { a.ClientSecret = account.NewSecret("new") })
		m.Retain(snapshot(t, b))
		mustGet(t, m.Source(b))
	})
}

// All accounts of the client obey the endpoint's Retry-After; after it, one account
// asks and the others wait for its answer.
func TestClientThrottled(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassThrottled, Status: http.StatusTooManyRequests, RetryAfter: 20 * time.Minute}
		for i := range 50 {
			if _, err := m.Source(clientAccount(i, "c")).Get(t.Context()); !errors.Is(err, flow.ErrThrottled) {
				t.Fatal(err)
			}
		}
		if n := f.count(); n != 1 {
			t.Fatalf("%d requests within Retry-After, want 1", n)
		}
		time.Sleep(23 * time.Minute)
		f.set(func(f *fakeFlow) { f.took = time.Second })
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() { _, _ = m.Source(clientAccount(100+i, "c")).Get(t.Context()) })
		}
		wg.Wait()
		if n := f.count(); n != 2 {
			t.Errorf("%d requests in all, want one more", n)
		}
	})
}

// When the endpoint is down, ten accounts do not ask for as much as a thousand
// would; when it is back, they have their tokens within seconds.
func TestEndpointDown(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassUnavailable, Err: httpc.ErrConnect}
		for range 10 * 60 {
			for i := range 200 {
				if _, err := m.Source(clientAccount(i, "c")).Get(t.Context()); !errors.Is(err, ErrUnavailable) {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
		}
		if n := f.count(); n > 60 {
			t.Errorf("%d requests of 200 accounts in 10 minutes", n)
		}
		f.set(func(f *fakeFlow) { f.err = nil })
		time.Sleep(circuit.DownMax + time.Second)
		for i := range 200 {
			if _, err := m.Source(clientAccount(1000+i, "c")).Get(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A failure that says nothing about the client does not stop its other accounts.
func TestClientNotBlamed(t *testing.T) {
	for name, err := range map[string]*Error{
		"invalid grant":    {Class: ClassInvalidGrant, Status: 400},
		"internal error":   {Class: ClassUnavailable, Err: flow.ErrPanic},
		"cancelled":        {Class: ClassUnavailable, Err: context.Canceled},
		"loop of one user": {Class: ClassThrottled, Status: 400, ProviderCode: flow.LoopDetected},
		"passing refusal":  {Class: ClassUnavailable, Status: 400},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
				f.err = err
				for i := range 20 {
					_, _ = m.Source(clientAccount(i, "c")).Get(t.Context())
				}
				if n := f.count(); n != 20 {
					t.Errorf("%d requests, want 20", n)
				}
			})
		})
	}
}

// A background refresh that an open circuit suppressed runs later.
func TestSuppressedEarlyRefresh(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		s := m.Source(clientAccount(1, "c"))
		first := mustGet(t, s)
		time.Sleep(39 * time.Minute)
		f.set(func(f *fakeFlow) { f.err = &Error{Class: ClassThrottled, Status: 429, RetryAfter: 12 * time.Minute} })
		_, _ = m.Source(clientAccount(2, "c")).Get(t.Context())
		f.set(func(f *fakeFlow) { f.err = nil })
		asked := f.count()
		for range 20 * 60 {
			if s.Cached() == nil {
				t.Fatal("the token was lost")
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if s.Cached() == first || f.count() != asked+1 {
			t.Errorf("%d requests since, want 1; replaced: %v", f.count()-asked, s.Cached() != first)
		}
	})
}

func TestForceRefresh(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		a := bubbleAccount(1)
		m.Retain(snapshot(t, a))
		f.err = &Error{Class: flow.ClassInvalidClient, Status: 401}
		if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, ErrInvalidClient) {
			t.Fatal(err)
		}
		if err := m.ForceRefresh(t.Context(), a); !errors.Is(err, ErrInvalidClient) || f.count() != 2 {
			t.Fatalf("forced: %v after %d requests", err, f.count())
		}
		f.set(func(f *fakeFlow) { f.err = nil })
		if err := m.ForceRefresh(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		first := mustGet(t, m.Source(a))
		if err := m.ForceRefresh(t.Context(), a); err != nil || m.Source(a).Cached() == first || f.count() != 4 {
			t.Errorf("with a good token: %v after %d requests", err, f.count())
		}
		f.set(func(f *fakeFlow) { f.took = time.Minute })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.ForceRefresh(ctx, a); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut short: %v", err)
		}
		m.Close()
		if err := m.ForceRefresh(t.Context(), a); !errors.Is(err, flow.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// An account that is not there yet can be tried, and leaves nothing but a
// rotated refresh token.
func TestFetchUnknownAccount(t *testing.T) {
	store := new(memoryStore)
	inBubble(t, withStore(store), func(t *testing.T, m *Manager, f *fakeFlow) {
		m.Retain(snapshot(t, bubbleAccount(1)))
		synctest.Wait() // the store of these tests forgets chains at once that are not retained
		b := bubbleAccount(2)
		tok, err := m.Fetch(t.Context(), b)
		if err != nil || tok.Access != "access-1" {
			t.Fatalf("%v, %v", tok, err)
		}
		if _, ok := m.State(b.ID); ok {
			t.Error("the account was kept")
		}
		if _, err := m.Source(b).Get(t.Context()); !errors.Is(err, flow.ErrRemoved) {
			t.Errorf("Get: %v", err)
		}
		if _, ok, _ := store.Load(ChainOf(b)); !ok {
			t.Error("its chain was not stored")
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if f.count() != 1 {
			t.Errorf("%d requests", f.count())
		}
	})
}

// A permanent refusal is asked for anew after a reload, if it is not fresh.
func TestReloadForgives(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, m *Manager, f *fakeFlow) {
		f.err = &Error{Class: ClassInvalidGrant, Status: 400}
		a := bubbleAccount(1)
		reload := func() { m.Retain(snapshot(t, tokentest.AccountLike(a, func(*account.Account) {}))) }
		ask := func() { _, _ = m.Source(a).Get(t.Context()) }
		ask()
		reload()
		ask()
		if n := f.count(); n != 1 {
			t.Errorf("%d requests after a reload at once, want 1", n)
		}
		time.Sleep(circuit.RefusalRest)
		ask()
		reload()
		ask()
		ask()
		if n := f.count(); n != 2 {
			t.Errorf("%d requests after a later reload, want 2", n)
		}
	})
}

// The error that stands for another account's answer names its cause.
func TestSuppressedErrorText(t *testing.T) {
	core, _ := observer.New(zap.DebugLevel)
	fake := &fakeFlow{err: &Error{Class: flow.ClassInvalidClient, Status: 401, Code: "invalid_client", Hint: hint.ClientRefused}}
	m := newManager(DefaultConfig(), fake, zap.New(core), nil)
	defer m.Close()
	for i := range 2 {
		_, err := m.Source(clientAccount(i, "c")).Get(t.Context())
		e, _ := errors.AsType[*Error](err)
		if e == nil || !strings.Contains(e.Public(), "invalid_client") || !strings.Contains(e.Public(), hint.ClientRefused.Remedy()) {
			t.Errorf("account %d is told %v", i, err)
		}
	}
}
