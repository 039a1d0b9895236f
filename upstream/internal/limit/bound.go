package limit

import (
	"iter"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/upstream/internal/lease"
)

// Bound tells l the limits of a mailbox: the largest of those that its accounts have. None is
// the largest of all.
func Bound(l *lease.Lease, accounts iter.Seq[*account.Limits]) {
	if l == nil {
		return
	}
	largest := func(of func(*account.Limits) int) (most int) {
		for limits := range accounts {
			n := of(limits)
			if n <= 0 {
				return 0
			}
			most = max(most, n)
		}
		return most
	}
	var permits [share.NumKinds]int
	for k := range permits {
		permits[k] = largest(Kind(k).Of)
	}
	l.Limit(largest(func(limits *account.Limits) int { return limits.MaxConnections }), permits)
}
