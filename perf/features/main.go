// Features measures what a message pays for all that is not its relaying:
// metrics, limits, logging and accounting. Two proxies of one build take the
// same load by turns, one as it is shipped, with every limit of the accounts set
// and their counts on disk, the other with all of that as far off as its
// configuration goes. A third, set up as the first, tells the noise. What cannot
// be switched off is found in a CPU profile of the first.
package main

import (
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	lab.Common
	lab.Repeated
	lab.LoadArgs
}

func main() {
	var o options
	lab.Main("features", "Measures what metrics, limits, logging and accounting cost a message.", &o, func() error { return o.Bench(o.measure) })
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

// measure is the command behind its flags.
func (o *options) measure(b *lab.Bench) error {
	c, err := b.NewContest(o.Time)
	if err != nil {
		return err
	}
	defer c.Stop()
	var first *lab.Proxy
	for i, name := range []string{"all on", "off", "all on, again"} {
		dir, err := b.Folder()
		if err != nil {
			return err
		}
		proxy, err := c.Enter(name, lab.Setup{Sections: settings(i != 1, dir)})
		if err != nil {
			return err
		}
		if i == 0 {
			first = proxy
		}
	}
	const load = "closed loop"
	for round := range o.Rounds {
		if err := c.Round(round, load, o.Args...); err != nil {
			return err
		}
	}
	found, err := o.profile(c, first)
	if err != nil {
		return err
	}
	on, off, again := c.Contenders[0], c.Contenders[1], c.Contenders[2]
	cost := &lab.Table{Title: "What they cost together", Header: []string{"what", "percent of a message's CPU"}}
	cost.Add("by the difference between on and off", percent(1-off.Over(on, load, lab.CPU)))
	cost.Add("noise: the difference between on and on, again", percent(1-again.Over(on, load, lab.CPU)))
	total := 0.0
	for _, share := range found.shares {
		total += share
	}
	cost.Add(fmt.Sprintf("by %d samples in a profile of on", found.samples), percent(total))
	for i, share := range found.shares {
		cost.Add("of it "+groups[i].name, percent(share))
	}
	return o.Write("features", o.Rounds, c.Table("Features on and off", load, off), cost)
}

// percent renders a part of one.
func percent(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) }

// profile takes a CPU profile of the proxy under the load, over as long as all
// its rounds took: a hundred samples a second are few.
func (o *options) profile(c *lab.Contest, proxy *lab.Proxy) (*shares, error) {
	length := max(time.Duration(o.Rounds)*o.Time, time.Second)
	alone := &lab.Contest{Bench: c.Bench, Sink: c.Sink, Time: length + 2*time.Second, Contenders: c.Contenders[:1]}
	loaded := make(chan error, 1)
	go func() { loaded <- alone.Round(o.Rounds, "profile", o.Args...) }()
	time.Sleep(time.Second) // so that the start of the load is not in the profile
	text, err := lab.Get(proxy.Admin + "/debug/pprof/profile?seconds=" + strconv.Itoa(int(length.Seconds())))
	if loadErr := <-loaded; loadErr != nil {
		return nil, loadErr
	}
	if err != nil {
		return nil, err
	}
	return sharesOf(text)
}
