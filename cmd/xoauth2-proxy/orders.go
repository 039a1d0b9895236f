package main

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
)

// ordersName is the file of an operator's orders for accounts.
const ordersName = "orders.json"

// ordersFile is where the orders are kept: beside the other state, whose lock
// keeps another process away. "": there is no such place.
func ordersFile(s *config.Settings) string { return s.StateFile(ordersName) }

// unheld is s without the accounts that an operator has stopped: what is done
// ahead of mail is not done for them.
func unheld(s *account.Snapshot, orders *control.Orders) *account.Snapshot {
	var free []*account.Account
	for _, a := range s.All() {
		if _, held := orders.Held(a.ID); !held {
			free = append(free, a)
		}
	}
	if len(free) == s.Len() {
		return s
	}
	part, err := account.NewSnapshot(free)
	if err != nil { // part of what is right is right
		return s
	}
	return part
}

// keepOrders takes over what operators ordered before the restart. It is called
// when the other state is open, and before clients can connect.
func (p *proxy) keepOrders(s *config.Settings) error {
	path := ordersFile(s)
	if path == "" {
		return nil
	}
	damaged, err := p.orders.Open(path)
	if damaged != "" {
		p.log.Error("the orders of operators were damaged: accounts that were paused are not any more", zap.String("kept", damaged))
	}
	return err
}
