package app

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/control"
)

func TestUnheld(t *testing.T) {
	s, err := account.NewSnapshot([]*account.Account{{ID: "a", Email: "a@example.com"}, {ID: "b", Email: "b@example.com"}, {ID: "c", Email: "c@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	orders := new(control.Orders)
	if unheld(s, orders) != s {
		t.Error("without orders it is another snapshot")
	}
	for id, state := range map[string]control.State{"a": control.Draining, "c": control.Paused} {
		if _, err := orders.Set(id, state, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := unheld(s, orders).All(); len(got) != 1 || got[0] != s.All()[1] {
		t.Errorf("%v", got)
	}
}
