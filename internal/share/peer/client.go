package peer

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"xoauth2-proxy/internal/frames"
	"xoauth2-proxy/internal/share"
)

// The kinds of messages. All are questions of the client, but kindEvent, which the host
// tells, and the last three, which it asks.
const (
	kindRenew    = "renew"
	kindClaim    = "claim"
	kindCommit   = "commit"
	kindAbandon  = "abandon"
	kindRecord   = "record"
	kindOrder    = "order"
	kindOrders   = "orders"
	kindAnnounce = "announce"
	kindNodes    = "nodes"
	kindEvents   = "events"
	kindEvent    = "event"
	kindBefore   = "before" // what it has counted before it shared
	kindUsed     = "used"   // what its process was granted
	kindUses     = "uses"   // what it has counted, at its end
)

// The bodies of questions.
type (
	renewal struct {
		Node    share.Node
		Reports []share.Report
	}
	claim struct {
		Node   share.Node
		Chain  string
		TTL    time.Duration
		Fence  uint64
		Record []byte
	}
)

// Client is the store of the new process.
type Client struct {
	link    *frames.Conn
	renewed chan struct{} // closed after the first answer to Renew
	once    sync.Once

	mu      sync.Mutex
	watches map[*func(share.Event)]struct{}
	before  []Use           // of the old process
	uses    []Use           // at its end
	ended   bool            // it has said them
	used    map[string]last // by key: of the last grants, to either process
}

// last is what counts over both processes by the last grant of a key, the limits that it was
// for, and what this process had and had counted then.
type last struct {
	limits, used, held [share.NumKinds]int
	settled            [share.NumKinds]uint64
}

// granted is what counts over both processes after a grant to the old one.
type granted struct {
	Key          string
	Limits, Used [share.NumKinds]int
}

var _ share.Store = (*Client)(nil)

// NewClient takes a socket at whose other end a host is served.
func NewClient(sock *net.UnixConn) *Client {
	c := &Client{renewed: make(chan struct{}), watches: make(map[*func(share.Event)]struct{}), used: make(map[string]last)}
	c.link = frames.New(sock, c.hear)
	return c
}

// hear is called for each message of the host.
func (c *Client) hear(m *frames.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Kind {
	case kindEvent:
		var e share.Event
		if m.Body(&e) == nil {
			for f := range c.watches {
				(*f)(e)
			}
		}
	case kindBefore:
		_ = m.Answer(nil, m.Body(&c.before))
	case kindUsed:
		var list []granted
		err := m.Body(&list)
		for _, g := range list {
			l := c.used[g.Key]
			l.limits, l.used = g.Limits, g.Used
			c.used[g.Key] = l
		}
		_ = m.Answer(nil, err)
	case kindUses:
		err := m.Body(&c.uses)
		c.ended = err == nil
		_ = m.Answer(nil, err)
	default:
		_ = m.Answer(nil, frames.ErrUnknown)
	}
}

// Gone is closed when the host has ended.
func (c *Client) Gone() <-chan struct{} { return c.link.Gone() }

// Renew implements share.Store.
func (c *Client) Renew(ctx context.Context, n share.Node, reports []share.Report) (a share.Answer, err error) {
	_, err = c.link.Ask(ctx, kindRenew, renewal{n, reports}, &a)
	if err == nil && len(a.Grants) != len(reports) {
		return share.Answer{}, errors.New("the old process answers for other reports")
	}
	if err == nil {
		c.note(reports, a.Grants)
		c.once.Do(func() { close(c.renewed) })
	}
	return a, err
}

// note keeps what grants say, for the case that the host is killed.
func (c *Client) note(reports []share.Report, grants []share.Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range reports {
		r, g := &reports[i], &grants[i]
		if g.Stale {
			continue
		}
		var l last
		for k := range share.NumKinds {
			l.limits[k], l.used[k], l.held[k] = r.Permits[k].Limit, g.Permits[k].Used, g.Permits[k].Held
			l.settled[k] = r.Permits[k].Settled
		}
		c.used[r.Key] = l
	}
}

// Uses returns what the old process has counted. whole: it has said so at its end, and of the
// hours everything that others have counted. Else it was killed: then it is what was granted to
// it last, as if all of that had been sent now.
func (c *Client) Uses(own *Switch) (list []Use, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return c.uses, true
	}
	for _, u := range c.before {
		if _, granted := c.used[u.Key]; !granted { // and so it has used nothing since
			u.Hours = nil // this process had them from the file
			list = append(list, u)
		}
	}
	for key, l := range c.used {
		u := Use{Key: key}
		now := own.now()
		hour := share.Hour{Number: slotOf(share.MessagesPerDay, now)}
		for k := range share.NumKinds {
			if l.limits[k] == 0 {
				continue
			}
			mine, before := own.counted(key, k)
			others := l.used[k] - l.held[k] - min(mine, int(l.settled[k])) - before
			switch {
			case others <= 0:
			case k == share.MessagesPerDay:
				hour.Messages = uint32(others)
			case k == share.RecipientsPerDay:
				hour.Recipients = uint32(others)
			default:
				u.Counts[k] = Counted{slotOf(k, now): others}
			}
		}
		if hour.Messages+hour.Recipients > 0 {
			u.Hours = []share.Hour{hour}
		}
		list = append(list, u)
	}
	return list, false
}

// Claim implements share.Store.
func (c *Client) Claim(ctx context.Context, n share.Node, chain string, ttl time.Duration) (
	answer share.Claim, err error,
) {
	_, err = c.link.Ask(ctx, kindClaim, claim{Node: n, Chain: chain, TTL: ttl}, &answer)
	return answer, err
}

// Commit implements share.Store.
func (c *Client) Commit(ctx context.Context, n share.Node, chain string, fence uint64, record []byte) (
	held bool, err error,
) {
	_, err = c.link.Ask(ctx, kindCommit, claim{Node: n, Chain: chain, Fence: fence, Record: record}, &held)
	return held, err
}

// Abandon implements share.Store.
func (c *Client) Abandon(ctx context.Context, n share.Node, chain string, fence uint64) error {
	_, err := c.link.Ask(ctx, kindAbandon, claim{Node: n, Chain: chain, Fence: fence}, nil)
	return err
}

// Record implements share.Store.
func (c *Client) Record(ctx context.Context, chain string) (answer share.Claim, err error) {
	_, err = c.link.Ask(ctx, kindRecord, claim{Chain: chain}, &answer)
	return answer, err
}

// Order implements share.Store.
func (c *Client) Order(ctx context.Context, o share.Order) error {
	_, err := c.link.Ask(ctx, kindOrder, o, nil)
	return err
}

// Orders implements share.Store.
func (c *Client) Orders(ctx context.Context) (list []share.Order, err error) {
	_, err = c.link.Ask(ctx, kindOrders, nil, &list)
	return list, err
}

// Announce implements share.Store.
func (c *Client) Announce(ctx context.Context, i share.Info) error {
	_, err := c.link.Ask(ctx, kindAnnounce, i, nil)
	if remote, ok := errors.AsType[frames.RemoteError](err); ok && remote.Error() == share.ErrForeign.Error() {
		return share.ErrForeign
	}
	return err
}

// Nodes implements share.Store.
func (c *Client) Nodes(ctx context.Context) (list []share.Info, err error) {
	_, err = c.link.Ask(ctx, kindNodes, nil, &list)
	return list, err
}

// Events implements share.Store.
func (c *Client) Events(ctx context.Context, f func(share.Event)) error {
	c.mu.Lock()
	c.watches[&f] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watches, &f)
	}()
	if _, err := c.link.Ask(ctx, kindEvents, nil, nil); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.link.Gone():
		return c.link.Err()
	}
}

// Close implements share.Store.
func (c *Client) Close() error { return c.link.Close() }
