package app

import (
	"context"
	"fmt"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/share/roster"
	"xoauth2-proxy/internal/verify"
	"xoauth2-proxy/upstream"
)

// State implements admin.API.
func (a *adminAPI) State(email string) (*admin.State, error) {
	acct, err := a.find(email)
	if err != nil {
		return nil, err
	}
	order := a.orders.Of(acct.ID)
	st := &admin.State{Account: PublicAccount(acct), Flow: string(acct.TokenFlow()), Hold: holdOf(order)}
	st.Hold.Untold = a.orders.IsUntold(acct.ID)
	condition, err := a.fillConnections(acct, st)
	if err != nil {
		return nil, err
	}
	tokens, ok := a.tokens.State(acct.ID)
	st.Status = statusOf(order, tokens.LastError, tokens.NextRefresh, []upstream.Condition{condition})
	if !ok {
		return st, nil
	}
	st.Token = admin.Token{
		Valid: tokens.HasToken, IssuedAt: timeOf(tokens.Issued), ExpiresAt: timeOf(tokens.Expiry),
		NextRefresh: timeOf(tokens.NextRefresh), RotatedAt: timeOf(tokens.LastRotation), Unsaved: tokens.Unsaved,
	}
	if !tokens.Issued.IsZero() {
		st.Token.AgeSeconds = max(0, int64(time.Since(tokens.Issued)/time.Second)) // the clock may have been set back
	}
	if tokens.LastError != nil { // without a token there is no login to fail
		st.LastError = lastError("token", verify.Explain(tokens.LastError), tokens.NextRefresh)
	}
	return st, nil
}

// Tenants implements admin.API.
func (a *adminAPI) Tenants() []admin.Tenant {
	accounts := make(map[string]int)
	tenants := a.relay.Tenants()
	for _, acct := range a.store.Load().All() {
		if t := tenants.Of(acct); t != nil {
			accounts[t.Use().Name]++
		}
	}
	all := []admin.Tenant{}
	for _, u := range tenants.Uses() {
		all = append(all, admin.Tenant{
			Name: u.Name, Used: u.Used, Max: u.Max, Accounts: accounts[u.Name], NextPlace: timeOf(u.NextPlace),
		})
	}
	return all
}

// Nodes implements admin.API.
func (a *adminAPI) Nodes(ctx context.Context) (roster.Roster, error) { return roster.Ask(ctx, a.nodes) }

// fillConnections adds what the relay knows. It returns what keeps the account from
// sending.
func (a *adminAPI) fillConnections(acct *account.Account, st *admin.State) (c upstream.Condition, err error) {
	s, err := a.relay.State(acct.ID)
	if err != nil {
		return c, fmt.Errorf("%w (%s)", admin.ErrUnavailable, err.Error())
	}
	st.Connections = admin.Connections{
		Dialing: s.Dialing, Active: s.Busy, Parked: s.Parked, Closing: s.Closing,
		Limit: acct.Limits.MaxConnections, Waiting: s.Waiting,
	}
	st.Limits = []admin.Limit{}
	standing, err := a.relay.Standing(acct.ID)
	if err != nil {
		return c, fmt.Errorf("%w (%s)", admin.ErrUnavailable, err.Error())
	}
	c.Failure, c.RetryAt = s.LastError, s.RetryAt
	if standing != nil {
		c.Stopped, c.Until, c.Reason = standing.Stopped, standing.Until, standing.Reason
		c.Throttled = standing.Connections > 0
		for _, u := range standing.Uses {
			st.Limits = append(st.Limits, admin.Limit{Name: u.Limit, Used: u.Used, Max: u.Max})
		}
		if state := standing.Stopped; state != "" || standing.Connections > 0 {
			if state == "" {
				state = "throttled"
			}
			st.Restraint = &admin.Restraint{
				State: state, Until: timeOf(standing.Until), Reason: standing.Reason, Connections: standing.Connections,
				NextProbe: timeOf(standing.NextProbe),
			}
		}
	}
	if s.LastError != nil {
		st.LastError = lastError("login", verify.Explain(s.LastError), s.RetryAt)
	}
	return c, nil
}

func lastError(at string, f verify.Failure, retry time.Time) *admin.LastError {
	return &admin.LastError{At: at, Class: f.Class, Message: f.Message, Hint: f.Hint, HintID: f.HintID,
		Permanent: f.Permanent,
		RetryAt:   timeOf(retry)}
}
