// Package sharing makes a proxy a node of those that share limits: the member that leases, the
// vault of the tokens and the courier of the orders, over one store.
package sharing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/share/courier"
	"xoauth2-proxy/internal/share/redisstore"
	"xoauth2-proxy/internal/share/roster"
	"xoauth2-proxy/internal/share/vault"
	"xoauth2-proxy/oauth"
)

// Node is this proxy among those that share limits. Nil shares with none.
type Node struct {
	store   share.Store
	member  *share.Member
	vault   *vault.Vault
	courier *courier.Courier // nil before Start
	log     *zap.Logger

	accounts func() *account.Snapshot
	adopt    atomic.Pointer[func(oauth.Chain, oauth.Record)] // nil before Start
	told     atomic.Pointer[limits]
}

// limits is the digest of the limits of accounts.
type limits struct {
	of     *account.Snapshot
	digest string
}

// Open returns the node that the settings name; nil if they name no store. It has not
// started, and leases nothing. tokens is how tokens are refreshed.
func Open(s config.Share, version string, tokens oauth.Config, accounts func() *account.Snapshot,
	log *zap.Logger, set *metrics.Set,
) (*Node, error) {
	if s.URL == "" {
		return nil, nil
	}
	store, err := redisstore.Open(s.Config)
	if err != nil {
		return nil, err
	}
	return over(store, s, version, tokens, accounts, log, set), nil
}

// over returns a node of a store, which it owns.
func over(store share.Store, s config.Share, version string, tokens oauth.Config, accounts func() *account.Snapshot,
	log *zap.Logger, set *metrics.Set,
) *Node {
	n := &Node{store: store, log: log, accounts: accounts}
	n.member = share.NewMember(share.Config{
		Node: s.Node, Version: version, KeyCheck: vault.KeyCheck(s.Key), Limits: n.limits,
		Ordered:   func(share.Order) { n.wake() },
		Published: func(chain string) { n.vault.Heard(chain) },
		Missed:    n.wake,
	}, store, log, set)
	n.vault = vault.New(vault.Config{
		Store: store, Node: n.member.Node(), Keys: s.Key, TTL: tokens.ClaimTTL(), Accounts: accounts, Joined: n.member.Joined,
		Adopt: func(c oauth.Chain, r oauth.Record) { (*n.adopt.Load())(c, r) },
	}, log)
	return n
}

// wake has the orders of the store read.
func (n *Node) wake() { n.courier.Wake() }

// Pool is for upstream; nil without a node.
func (n *Node) Pool() share.Pool {
	if n == nil {
		return nil
	}
	return n.member
}

// Sharer is for oauth; nil without a node.
func (n *Node) Sharer() oauth.Sharer {
	if n == nil {
		return nil
	}
	return n.vault
}

// Start joins the other nodes. adopt takes tokens that others have published, and apply puts
// orders of others in force; orders has what is in force here, and goes by the store from
// now on. The error is share.ErrForeign.
func (n *Node) Start(adopt func(oauth.Chain, oauth.Record), orders *control.Orders,
	apply func(control.Given) error,
) error {
	if n == nil {
		return nil
	}
	n.adopt.Store(&adopt)
	n.courier = courier.New(courier.Config{
		Store: n.store, Node: n.member.Node().Name, Orders: orders, Accounts: n.accounts,
		Joined: n.member.Joined, Apply: apply,
	}, n.log)
	orders.Share = n.courier
	if err := n.member.Start(); err != nil {
		return fmt.Errorf("share: %w", err)
	}
	n.vault.Start()
	n.courier.Start()
	return nil
}

// Close gives back what is leased, and leaves. The relay and the token manager are closed
// before it.
func (n *Node) Close() {
	if n == nil {
		return
	}
	n.member.Close()
	n.vault.Close()
	if n.courier != nil {
		n.courier.Close()
	}
	_ = n.store.Close() // nothing is lost
}

// Source is for the admin API; nil without a node.
func (n *Node) Source() roster.Source {
	if n == nil {
		return nil
	}
	return n
}

// Node names this process in the store.
func (n *Node) Node() share.Node { return n.member.Node() }

// Roster asks the store for the nodes that live.
func (n *Node) Roster(ctx context.Context) ([]share.Info, error) { return n.store.Nodes(ctx) }

// limits is a digest of the limits of all accounts, by which nodes see that they differ.
func (n *Node) limits() string {
	accounts := n.accounts()
	if last := n.told.Load(); last != nil && last.of == accounts {
		return last.digest
	}
	h := sha256.New()
	for _, a := range accounts.All() {
		fmt.Fprintf(h, "%q %v\n", a.MailboxKey(), a.Limits)
	}
	const digits = 8
	l := &limits{of: accounts, digest: hex.EncodeToString(h.Sum(nil)[:digits])}
	n.told.Store(l)
	return l.digest
}
