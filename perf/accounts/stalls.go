package accounts

import (
	"fmt"
	"slices"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// window is how long is looked for stalls, around a reload or without one. It
// is a few times what a reload takes.
const window = 2 * time.Second

// A during is what happens in the windows of a kind.
type during struct {
	kind
	pings, late, took []float64 // milliseconds, of each window
	lag, rss          float64   // the most of all windows, milliseconds and MB
}

// stalls measures what reloads do to sessions that go on meanwhile.
func (m *measurement) stalls() *lab.Table {
	proxy := m.start("")
	defer proxy.Stop()
	kinds := []*during{{kind: kind{name: "no reload"}}, {kind: nothingChanged}, {kind: someChanged}}
	var rep *report.Report
	loaded := lab.Go(func() { // for all windows, and a little longer at both ends
		length := window*time.Duration(m.Rounds*len(kinds)) + 5*time.Second
		rep = m.bench.Load("--target", proxy.Addr, "--accounts-file", m.provider.Accounts, "--accounts", "100", "-c", "50",
			"--rate", fmt.Sprintf("%d/s", m.Rate), "--duration", length.String(), "--size", "10k", "--sandbox", m.provider.API)
	})
	p := startPings(proxy.Addr)
	defer p.stop()
	time.Sleep(window) // the first connections do not count
	for range m.Rounds {
		for _, k := range kinds {
			m.prepare(k.kind)
			k.look(proxy, p)
		}
	}
	loaded()
	t := &lab.Table{Title: fmt.Sprintf("%d accounts, %d messages a second, NOOP on %d idle connections", m.Accounts, m.Rate, pingers),
		Header: []string{"in a window of " + window.String(), "longest ping, median and most (ms)", "the prober itself late by (ms)",
			"every tick of a loop seen within (ms)", "reload (ms)", "resident (MB)"}}
	medianAndMost := func(values []float64) string { return lab.List(lab.Median(values), slices.Max(values)) }
	for _, k := range kinds {
		name := k.name
		if k.reload {
			name = "a reload, " + name
		}
		t.Add(name, medianAndMost(k.pings), medianAndMost(k.late), k.lag, lab.Median(k.took), k.rss)
	}
	t.Add("messages accepted, failed; proof of delivery holds", lab.List(rep.Total.Accepted, rep.Total.Failed(), rep.Proof != nil && rep.Proof.Holds), "", "", "", "")
	return t
}

// look measures one window.
func (k *during) look(proxy *lab.Proxy, p *pings) {
	before := proxy.Metrics()
	p.take()
	end := time.After(window)
	if k.reload {
		k.took = append(k.took, proxy.Reload())
	}
	<-end
	longest, late := p.take()
	k.pings, k.late = append(k.pings, longest), append(k.late, late)
	k.lag = max(k.lag, lag(before, proxy.Metrics()))
	k.rss = max(k.rss, proxy.Resident()/1e6)
}
