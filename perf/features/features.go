// Package features measures what a message pays for all that is not its relaying:
// metrics, limits, logging and accounting. Two proxies of one build take the
// same load by turns, one as it is shipped, with every limit of the accounts set
// and their counts on disk, the other with all of that as far off as its
// configuration goes. A third, set up as the first, tells the noise. What cannot
// be switched off is found in a CPU profile of the first.
package features

import (
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	lab.Repeated
	lab.LoadArgs
}

// rates are all limits of an account that are counts over a time.
func rates(n int) map[string]any {
	return map[string]any{"messages_per_minute": n, "messages_per_hour": n, "messages_per_day": n, "recipients_per_day": n, "logins_per_minute": n}
}

// settings are the parts of the configuration that the two differ in. Limits
// that no load reaches cost what those cost that hold.
func settings(on bool, stateDir string) map[string]any {
	if on {
		return map[string]any{
			"state_dir": stateDir, "log": map[string]any{"level": "info"},
			"providers": map[string]any{lab.ProviderName: map[string]any{"rate_limiting": rates(1e9)}},
		}
	}
	return map[string]any{
		"log": map[string]any{"level": "error"}, "upstream": map[string]any{"breaker_failures": 0},
		"providers": map[string]any{lab.ProviderName: map[string]any{"rate_limiting": rates(0)}},
	}
}

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	const load = "closed loop"
	c := b.NewComparison(o.Time, lab.Accounts, 0)
	first := c.AddProxy("all on", lab.Setup{Sections: settings(true, b.Folder())})
	c.AddProxy("off", lab.Setup{Sections: settings(false, "")})
	c.AddProxy("all on, again", lab.Setup{Sections: settings(true, b.Folder())})
	for round := range o.Rounds {
		c.Round(round, load, o.Args...)
	}
	found := o.profile(c, first)
	on, off, again := c.Candidates[0], c.Candidates[1], c.Candidates[2]
	cost := &lab.Table{Title: "What they cost together", Header: []string{"what", "percent of a message's CPU"}}
	add := func(name string, part float64) { cost.Add(name, strconv.FormatFloat(100*part, 'f', 1, 64)) }
	add("by the difference between on and off", 1-off.Over(on, load, lab.CPU).Median())
	add("noise: the difference between on and on, again", 1-again.Over(on, load, lab.CPU).Median())
	total := 0.0
	for _, share := range found.shares {
		total += share
	}
	add(fmt.Sprintf("by %d samples in a profile of on", found.samples), total)
	for i, share := range found.shares {
		add("of it "+groups[i].name, share)
	}
	o.Write(o.Rounds, c.Table("Features on and off", load, off), cost)
}

// profile takes a CPU profile of the proxy under the load, over as long as all
// its rounds took: a hundred samples a second are few.
func (o *Command) profile(c *lab.Comparison, proxy *lab.Proxy) *shares {
	length := max(time.Duration(o.Rounds)*o.Time, time.Second)
	loaded := lab.Go(func() { c.Run(c.Candidates[0], length+2*time.Second, o.Args...) })
	time.Sleep(time.Second) // so that the start of the load is not in the profile
	text := proxy.Profile(fmt.Sprintf("profile?seconds=%.0f", length.Seconds()))
	loaded()
	return lab.Must(sharesOf(text))
}
