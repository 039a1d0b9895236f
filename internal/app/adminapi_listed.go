package app

import (
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/admin"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/verify"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/upstream"
)

// Listed implements admin.API.
func (a *adminAPI) Listed() []admin.Listed {
	all := a.store.Load().All()
	statuses := a.statuses(all)
	out := make([]admin.Listed, len(all))
	for i, acct := range all {
		out[i] = admin.Listed{Account: PublicAccount(acct), Status: statuses[i]}
	}
	return out
}

// statuses returns the state of each account.
func (a *adminAPI) statuses(all []*account.Account) []admin.Status {
	conditions, stuck := a.relay.Conditions()
	out := make([]admin.Status, len(all))
	for i, acct := range all {
		refused, retry := a.tokens.Failure(acct)
		out[i] = statusOf(a.orders.Of(acct.ID), refused, retry, conditions[acct.ID])
		if stuck != nil && out[i].State == admin.StateActive {
			out[i] = admin.Status{State: admin.StateUnknown, Detail: stuck.Error()}
		}
	}
	return out
}

// statusOf returns the gravest of what is known of an account: an operator's order, why
// it gets no token and when the next try is, and its conditions at the provider.
func statusOf(order control.Order, token *oauth.Error, retry time.Time, conditions []upstream.Condition) admin.Status {
	if order.State != control.Active { // it is in the words of the operator
		return admin.Status{State: order.State.String(), Detail: "by an operator's order"}
	}
	found := admin.Status{State: admin.StateActive}
	note := func(state, detail string, until time.Time) {
		if slices.Index(admin.States, state) > slices.Index(admin.States, found.State) {
			found = admin.Status{State: state, Detail: strings.Join(strings.Fields(detail), " "), Until: timeOf(until)}
		}
	}
	failed := func(err error, retry time.Time) {
		f := verify.Explain(err)
		if f.Permanent {
			note(admin.StateRefused, f.Text(), time.Time{})
		} else {
			note(admin.StateFailing, f.Text(), retry)
		}
	}
	if token != nil {
		failed(token, retry)
	}
	for _, c := range conditions {
		if c.Stopped != "" {
			note(c.Stopped, c.Reason, c.Until)
		}
		if c.Failure != nil {
			failed(c.Failure, c.RetryAt)
		}
		if c.Throttled {
			note(admin.StateThrottled, "the provider takes fewer connections", time.Time{})
		}
	}
	return found
}
