package upstream

import "xoauth2-proxy/upstream/internal/carry"

// Transaction is an envelope with or without its content, on its way through
// the relay. Get one with GetTransaction; who owns it calls Release at the end.
type Transaction = carry.Transaction

// Completer is told how a transaction goes.
type Completer = carry.Completer

// Recipient is one forward-path of a transaction.
type Recipient = carry.Recipient

// Result is the end of a transaction.
type Result = carry.Result

// GetTransaction returns an empty transaction, owned by the caller.
func GetTransaction() *Transaction { return carry.GetTransaction() }
