// Package overload measures the proxy where it is asked for more than there is.
//
// "overload load" finds what goes through to a provider of a known pace, then
// offers a multiple of it, in an open loop, with short queues: how soon the
// surplus is refused, what becomes of the accepted messages and of memory, and
// how soon all is as before.
//
// "overload accounts" is the shape of Microsoft 365: many accounts with three
// connections each, and a sandbox that enforces that: throughput, memory for
// each parked connection, logins a minute, and the most connections of any
// account by the sandbox's own count.
package overload

import (
	"fmt"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	Load     loadCmd     `cmd:"" help:"Offer a multiple of the capacity."`
	Accounts accountsCmd `cmd:"" help:"Many accounts with three connections each."`
	lab.Common
}

// loadCmd is the command line of "overload load".
type loadCmd struct {
	Duration time.Duration `default:"1m" help:"How long the overload lasts."`
	Factor   float64       `default:"3" help:"How many times the capacity is offered."`
	Pace     time.Duration `default:"50ms" help:"How long the provider takes for a message."`
	Queue    int           `default:"50" help:"Messages that may wait for a connection."`
	Clients  int           `default:"400" help:"Connections of the load."`
}

// accountsCmd is the command line of "overload accounts".
type accountsCmd struct {
	Accounts int           `default:"2000" help:"Number of accounts."`
	Messages int           `default:"4" help:"Messages for each connection."`
	Pace     time.Duration `default:"200ms" help:"How long the provider takes for a message."`
}

// Run runs "overload load".
func (c *loadCmd) Run(o *Command) error {
	return o.Bench(func(b *lab.Bench) { o.Write(0, c.measure(b)) })
}

// Run runs "overload accounts".
func (c *accountsCmd) Run(o *Command) error {
	return o.Bench(func(b *lab.Bench) { o.Write(0, c.measure(b)) })
}

// start starts a sandbox with the limits of Microsoft 365, if it has any, but for the
// number of connections, and a proxy with a queue of that length.
func start(b *lab.Bench, sandbox lab.Sandbox, connections, queue int) *lab.Stand {
	sandbox.Preset = "outlook"
	return b.NewStand(sandbox, lab.Setup{Connections: connections, Sections: map[string]any{
		"upstream": map[string]any{"queue_size": queue},
		"log":      map[string]any{"level": "error"},
		"providers": map[string]any{lab.ProviderName: map[string]any{
			"connection_pool": map[string]any{"connection_idle_timeout_seconds": 3600},
		}},
	}})
}

// outcome adds what became of the messages.
func outcome(t *lab.Table, rep *report.Report) {
	t.Add("accepted, refused, neither", lab.List(rep.Total.Accepted, rep.Total.Refused,
		rep.Total.Broken+rep.Total.Unknown+rep.Total.Unsent))
	for _, r := range rep.Replies {
		t.Add(fmt.Sprintf("answered %d at %s", r.Code, r.Phase), fmt.Sprintf("%d: %s", r.Count, r.Sample))
	}
	t.Add("proof of delivery holds", rep.Proof != nil && rep.Proof.Holds)
}
