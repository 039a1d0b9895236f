package oauth

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// What is done about a refusal.
const (
	retrySoon   = "soon"   // by the account's back-off, at most every BackoffMax
	retryClient = "client" // the circuit of the client: one account at long intervals
	retryNever  = "never"  // not before an operator acts
)

// sameRefusal reports whether err is that refusal, told or not.
func sameRefusal(err error, want *Error) bool {
	var got *Error
	return errors.As(err, &got) && got.Class == want.Class && got.Status == want.Status
}

// TestClassesAskedAgain has a refusal of every class that an endpoint's answer can
// have, and looks at when the account, and another one of its client, is asked for
// again.
func TestClassesAskedAgain(t *testing.T) {
	tests := map[Class]string{
		ClassUnavailable: retrySoon, ClassThrottled: retrySoon, flow.ClassNoEndpoint: retryClient, ClassInvalidGrant: retryNever,
		ClassInteractionRequired: retryNever, flow.ClassInvalidClient: retryClient, ClassMisconfigured: retryNever,
	}
	for class, want := range tests {
		t.Run(class.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := &fakeFlow{err: &Error{Class: class, Status: 400}}
				m := newManager(DefaultConfig(), fake, nil, nil)
				defer m.Close()
				a := clientAccount(1, "client")
				if _, err := m.Source(a).Get(t.Context()); !sameRefusal(err, fake.err) {
					t.Fatalf("err = %v", err)
				}
				asked := func(a *account.Account) bool {
					before := fake.count()
					_, _ = m.Source(a).Get(t.Context())
					return fake.count() > before
				}
				other := asked(clientAccount(2, "client"))
				time.Sleep(2 * DefaultConfig().BackoffMin) // in the time of the bubble
				retry := retrySoon
				switch again := asked(a); {
				case !other && !again:
					retry = retryClient
				case !again:
					retry = retryNever
				}
				if retry != want {
					t.Errorf("asked again: %s, want %s", retry, want)
				}
			})
		})
	}
}

// TestClientGone has ten accounts of one client that Google has deleted, and ones
// whose token URL is wrong: one request, one alert, the same answer for all.
func TestClientGone(t *testing.T) {
	tests := []struct {
		status int
		code   string
		want   error
		alert  string
	}{
		{401, "deleted_client", ErrInvalidClient, "OAuth2 client refused"},
		{401, "disabled_client", ErrInvalidClient, "OAuth2 client refused"},
		{404, "", flow.ErrNoEndpoint, "token URL is no token endpoint"},
		{405, "", flow.ErrNoEndpoint, "token URL is no token endpoint"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s", tt.status, tt.code), func(t *testing.T) {
			ts := tokentest.NewServer(t)
			ts.SetAnswer(tokentest.GiveError(tt.status, tt.code, ""))
			core, logs := observer.New(zap.ErrorLevel)
			m := New(testConfig(), zap.New(core), nil)
			t.Cleanup(m.Close)
			var accounts []*account.Account
			for i := range 11 {
				accounts = append(accounts, tokentest.AccountLike(tokentest.Account(ts.URL), func(a *account.Account) {
					a.ID, a.Email = fmt.Sprint("acct", i), fmt.Sprintf("u%d@example.com", i)
				}))
			}
			m.Retain(snapshot(t, accounts...))
			for i, a := range accounts[:10] {
				if _, err := m.Source(a).Get(t.Context()); !errors.Is(err, tt.want) {
					t.Errorf("account %d: %v", i, err)
				}
				if st, _ := m.State(a.ID); st.LastError == nil || st.LastError.Hint == hint.None {
					t.Errorf("account %d: its state has no hint: %v", i, st.LastError)
				}
			}
			if n := len(ts.Requests()); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if n := logs.FilterMessageSnippet(tt.alert).Len(); n != 1 || logs.Len() != 1 {
				t.Errorf("%d alerts in %d error lines, want one", n, logs.Len())
			}
			// The operator corrects it.
			ts.SetAnswer(nil)
			m.Release("acct1")
			if _, err := m.Source(accounts[10]).Get(t.Context()); err != nil {
				t.Errorf("after its release: %v", err)
			}
		})
	}
}
