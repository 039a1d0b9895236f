package app

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/courier"
	"xoauth2-proxy/internal/share/ledger"
)

// sharing has the orders of a proxy go by a store.
func (s *stack) sharing(l *ledger.Ledger, name string) {
	api := &adminAPI{live: s.live, store: s.live.store, tokens: s.tokens, relay: s.relay, orders: s.orders}
	c := courier.New(courier.Config{Store: l, Node: name, Orders: s.orders, Accounts: s.live.store.Load, Apply: api.apply}, s.Proxy.log)
	s.orders.Share = c
	c.Start()
	s.T.Cleanup(c.Close)
	ctx, cancel := context.WithCancel(context.Background())
	s.T.Cleanup(cancel)
	go func() {
		_ = l.Events(ctx, func(e share.Event) {
			if e.Kind == share.Ordered {
				c.Wake()
			}
		})
	}()
}

// TestOrdersOfAnotherProxy has an operator order by the admin API of one proxy: the other
// one pauses clients, closes connections, and releases what a provider holds, as the first.
func TestOrdersOfAnotherProxy(t *testing.T) {
	const email = "user@outlook.com"
	l := ledger.New(ledger.Config{Epoch: "1"})
	t.Cleanup(func() { _ = l.Close() })
	one, other := newStack(t, email), newStack(t, email)
	one.sharing(l, "one")
	other.sharing(l, "other")
	held := sandbox.Rule{Account: email, Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "550 5.1.8 Access denied, bad outbound sender", Times: 1}
	if err := other.Provider.SetFaults(held); err != nil {
		t.Fatal(err)
	}
	c, err := other.Client(email)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := apptest.Send(c, "refused"); err == nil {
		t.Fatal("accepted")
	}
	other.WaitLog(1, "account held until an operator acts")
	one.Want(200, []string{`"state":"active"`}, "POST", "/admin/accounts/"+email+"/resume", "")
	other.WaitLog(1, "account ordered by another proxy", `"state":"active"`, `"node":"one"`)
	if err := apptest.Send(c, "released"); err != nil {
		t.Errorf("a hold is not released: %v", err)
	}
	other.Want(200, []string{`"parked":1`}, "GET", "/admin/accounts/"+email, "")
	for _, order := range []string{"drain", "resume", "pause"} {
		state := map[string]string{"drain": "draining", "resume": "active", "pause": "paused"}[order]
		one.Want(200, []string{fmt.Sprintf(`"state":"%s"`, state)}, "POST", "/admin/accounts/"+email+"/"+order, "")
		other.WaitLog(1, "account ordered by another proxy", fmt.Sprintf(`"state":"%s"`, state))
		switch order {
		case "drain":
			ctx, cancel := apptest.Timeout(t)
			defer cancel()
			if err := other.Provider.WaitAccount(ctx, email, noneOpen); err != nil {
				t.Errorf("the connections stay: %v", err)
			}
		case "resume":
			other.WaitLog(2, "account ordered by another proxy", `"state":"active"`)
			if err := apptest.Send(c, "resumed"); err != nil {
				t.Error(err)
			}
		case "pause":
			if err := apptest.Send(c, "paused"); err == nil || !strings.Contains(err.Error(), "4.7.0 The account is paused") {
				t.Errorf("a client of a paused account is told %v", err)
			}
		}
	}
	if err := l.Order(t.Context(), share.Order{AccountID: "outlook_user_outlook_com", State: "draining", Node: "third"}); err != nil {
		t.Fatal(err)
	}
	one.WaitLog(1, "account ordered by another proxy", `"node":"third"`)
}
