// Overload measures the proxy where it is asked for more than there is.
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
//
// Proxy, sandbox and load generator are processes of their own, on loopback.
package main

import (
	"time"

	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Load     loadCmd     `cmd:"" help:"Offer a multiple of what goes through."`
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

func main() {
	var o options
	lab.MainOf("overload", "Measures the proxy where it is asked for more than there is.", &o, func(command string) error {
		return o.Bench(func(b *lab.Bench) error {
			measure := o.Load.measure
			if command == "accounts" {
				measure = o.Accounts.measure
			}
			table, err := measure(b)
			if err != nil {
				return err
			}
			return o.Write("overload", 0, table)
		})
	})
}
