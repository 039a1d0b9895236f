package redisstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"xoauth2-proxy/internal/share"
)

// reportsPerCall bounds how long the server runs one script: it does nothing else meanwhile.
const reportsPerCall = 32

// Renew implements [share.Store]. All reports go in one round trip.
func (s *Store) Renew(ctx context.Context, n share.Node, reports []share.Report) (share.Answer, error) {
	if len(reports) == 0 {
		epoch, err := s.epoch(ctx)
		return share.Answer{Epoch: epoch}, err
	}
	var calls []call
	for some := range slices.Chunk(reports, reportsPerCall) {
		calls = append(calls, callOf(n, some))
	}
	results, err := s.runAll(ctx, s.scripts.renew, calls)
	if err != nil {
		return share.Answer{}, err
	}
	a := share.Answer{Grants: make([]share.Grant, 0, len(reports))}
	for some := range slices.Chunk(reports, reportsPerCall) {
		// If the epoch changes between two calls, the last one says so.
		if err := grantsOf(some, results[len(a.Grants)/reportsPerCall], &a); err != nil {
			return share.Answer{}, err
		}
	}
	return a, nil
}

// epoch names the life of the data.
func (s *Store) epoch(ctx context.Context) (string, error) {
	a, err := s.run(ctx, s.scripts.ping, 1, []string{keyEpoch})
	if err != nil {
		return "", err
	}
	return a[0], nil
}

// callOf writes reports for renew.lua.
func callOf(n share.Node, reports []share.Report) call {
	c := call{keys: []string{keyEpoch}, args: []string{nodeField(n), n.Name, channel}}
	for i := range reports {
		c.report(&reports[i])
	}
	return c
}

func (c *call) report(r *share.Report) {
	c.keys = append(c.keys, keyOf(r.Key, "conn"))
	c.args = append(c.args, r.Key, strconv.FormatUint(r.Seq, 10))
	c.numbers(r.Slots.Limit, r.Slots.Have, r.Slots.Busy, r.Slots.Want)
	kinds := 0
	for k := range r.Permits {
		if r.Permits[k].Limit > 0 {
			kinds++
		}
	}
	c.numbers(kinds)
	for k := range r.Permits {
		if p := &r.Permits[k]; p.Limit > 0 {
			c.keys = append(c.keys, keyOf(r.Key, kindNames[k]))
			c.numbers(k, p.Limit)
			c.args = append(c.args, strconv.FormatUint(p.Settled, 10))
			c.numbers(p.Held, p.Want)
		}
	}
	c.numbers(len(r.Hours))
	for _, h := range r.Hours {
		c.args = append(c.args, strconv.FormatInt(h.Number, 10))
		c.numbers(int(h.Messages), int(h.Recipients))
	}
}

// numbers adds arguments, of which those below 0 are 0.
func (c *call) numbers(list ...int) {
	for _, n := range list {
		c.args = append(c.args, strconv.Itoa(max(0, n)))
	}
}

// numbers takes whole numbers off an answer. The first that is missing or none is an error.
type numbers struct {
	left []rueidis.RedisMessage
	err  error
}

func (ns *numbers) take() int64 {
	if len(ns.left) == 0 {
		ns.err = errAnswer
		return 0
	}
	n, err := ns.left[0].AsInt64()
	if err != nil {
		ns.err = errAnswer
	}
	ns.left = ns.left[1:]
	return n
}

// grantsOf reads the answer of renew.lua to reports, and adds the grants to a.
func grantsOf(reports []share.Report, result rueidis.RedisResult, a *share.Answer) error {
	values, err := result.ToArray()
	if err != nil || len(values) == 0 {
		return errAnswer
	}
	if a.Epoch, err = values[0].ToString(); err != nil {
		return errAnswer
	}
	ns := &numbers{left: values[1:]}
	for i := range reports {
		a.Grants = append(a.Grants, ns.grant(&reports[i]))
	}
	if len(ns.left) > 0 {
		return errAnswer
	}
	return ns.err
}

func (ns *numbers) grant(r *share.Report) share.Grant {
	g := share.Grant{Key: r.Key, Seq: r.Seq, Stale: ns.take() == 1, Slots: int(ns.take()), Nodes: int(ns.take())}
	if g.Stale {
		return g
	}
	for k := range r.Permits {
		if p := &r.Permits[k]; p.Limit > 0 {
			g.Permits[k] = share.PermitGrant{
				Held: int(ns.take()), Used: int(ns.take()), Next: time.Duration(ns.take()) * time.Millisecond,
			}
		} else { // the store leases nothing
			g.Permits[k].Held = max(0, p.Held, p.Want)
		}
	}
	return g
}
