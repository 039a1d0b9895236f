package app

import (
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
)

// ordersFile returns the path of the orders: beside the other state, whose lock
// keeps another process away. "": the orders are in memory only.
func ordersFile(s *config.Settings) string { return s.StateFile(control.FileName) }

// unheld returns s without the accounts that an operator has stopped: no
// connection is made for them ahead of mail.
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
	if err != nil { // not possible: a part of a valid snapshot is valid
		return s
	}
	return part
}

// openOrders takes over what operators ordered before the restart. It is called
// after the other state is open, and before clients can connect.
func openOrders(orders *control.Orders, s *config.Settings, log *zap.Logger) error {
	path := ordersFile(s)
	if path == "" {
		return nil
	}
	damaged, err := orders.Open(path)
	if damaged != "" {
		log.Error("the orders of operators were damaged: accounts that were paused are not any more", zap.String("kept", damaged))
	}
	return err
}
