package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// window is how long is looked for stalls, around a reload or without one. It
// is a few times what a reload takes.
const window = 2 * time.Second

// changedOf is one in how many accounts change for a reload of changed ones.
const changedOf = 10

// A during is what happens in a window.
type during struct {
	name   string
	reload bool
	change bool // some accounts have another identity than before

	pings, late, took []float64 // milliseconds, of each window
	lag, rss          float64   // the most of all windows, milliseconds and MB
}

// stalls measures what reloads do to sessions that go on meanwhile, and writes
// a table of it.
func stalls(o *options, programs lab.Programs, provider *lab.Provider, dir string) (*lab.Table, error) {
	proxy, list, err := startWithList(programs, provider, dir)
	if err != nil {
		return nil, err
	}
	defer proxy.Stop()
	kinds := []*during{{name: "no reload"}, {name: "a reload, nothing changed", reload: true},
		{name: fmt.Sprintf("a reload, one account in %d changed", changedOf), reload: true, change: true}}
	// The load goes on for all windows, and a little longer at both ends.
	load := startLoad(o, programs, provider, proxy, window*time.Duration(o.Rounds*len(kinds))+5*time.Second)
	p, err := startPings(proxy.Addr)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	time.Sleep(window) // the first connections are not what is measured
	for range o.Rounds {
		for _, k := range kinds {
			if k.change {
				if err := list.change(provider.Accounts); err != nil {
					return nil, err
				}
			}
			if err := k.look(proxy, p); err != nil {
				return nil, err
			}
		}
	}
	done := <-load
	if done.err != nil {
		return nil, done.err
	}
	t := &lab.Table{Title: fmt.Sprintf("%d accounts, %d messages a second, NOOP on %d idle connections", o.Accounts, o.Rate, pingers),
		Header: []string{"in a window of " + window.String(), "longest ping, median and most (ms)", "the prober itself late by (ms)",
			"every tick of a loop seen within (ms)", "reload (ms)", "resident (MB)"}}
	for _, k := range kinds {
		t.Add(k.name, medianAndMost(k.pings), medianAndMost(k.late), lab.Number(k.lag), lab.Number(lab.Median(k.took)), lab.Number(k.rss))
	}
	total := done.report.Total
	t.Add("messages accepted, failed, lost or twice", fmt.Sprintf("%d, %d, %s", total.Accepted, total.Failed(), proof(done.report)), "", "", "", "")
	return t, nil
}

// loaded is how a load ended.
type loaded struct {
	report *report.Report
	err    error
}

// startLoad sends messages for so long.
func startLoad(o *options, programs lab.Programs, provider *lab.Provider, proxy *lab.Proxy, length time.Duration) <-chan loaded {
	done := make(chan loaded, 1)
	go func() {
		rep, err := lab.Load(programs.Loadgen, "--target", proxy.Addr, "--accounts-file", provider.Accounts, "--accounts", "100",
			"-c", "50", "--rate", fmt.Sprintf("%d/s", o.Rate), "--duration", length.String(), "--size", "10k", "--sandbox", provider.API)
		done <- loaded{rep, err}
	}()
	return done
}

// medianAndMost renders both.
func medianAndMost(values []float64) string {
	return lab.Number(lab.Median(values)) + ", " + lab.Number(slices.Max(values))
}

// proof says what the provider has of what was acknowledged.
func proof(r *report.Report) string {
	if r.Proof == nil {
		return "-"
	}
	if r.Proof.Holds {
		return "0"
	}
	return "some"
}

// look measures one window.
func (k *during) look(proxy *lab.Proxy, p *pings) error {
	before, err := readLags(proxy.Admin)
	if err != nil {
		return err
	}
	if _, _, err := p.take(); err != nil {
		return err
	}
	end := time.After(window)
	if k.reload {
		took, err := reload(proxy)
		if err != nil {
			return err
		}
		k.took = append(k.took, took)
	}
	<-end
	longest, late, err := p.take()
	if err != nil {
		return err
	}
	after, err := readLags(proxy.Admin)
	if err != nil {
		return err
	}
	resident, err := lab.ResidentMemory(proxy.PID())
	if err != nil {
		return err
	}
	k.pings, k.late = append(k.pings, longest), append(k.late, late)
	k.lag = max(k.lag, after.most(before))
	k.rss = max(k.rss, float64(resident)/1e6)
	return nil
}

// accountList is an accounts file that is changed again and again.
type accountList struct {
	Accounts []map[string]any `json:"accounts"`
	upper    bool
}

func readList(file string) (*accountList, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	l := new(accountList)
	return l, json.Unmarshal(text, l)
}

// startWithList starts a proxy and reads the list of its accounts.
func startWithList(programs lab.Programs, provider *lab.Provider, dir string) (*lab.Proxy, *accountList, error) {
	list, err := readList(provider.Accounts)
	if err != nil {
		return nil, nil, err
	}
	proxy, err := lab.StartProxy(programs, dir, provider, 3)
	return proxy, list, err
}

// change writes the file with another spelling of the identity of some
// accounts, which takes new connections for them.
func (l *accountList) change(file string) error {
	l.upper = !l.upper
	for i := 0; i < len(l.Accounts); i += changedOf {
		identity, _ := l.Accounts[i]["email"].(string)
		if l.upper {
			identity = strings.ToUpper(identity)
		}
		l.Accounts[i]["auth_identity"] = identity
	}
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
