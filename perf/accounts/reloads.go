package main

import (
	"fmt"

	"xoauth2-proxy/perf/lab"
)

// spent is what the proxy has used up since its start.
type spent struct{ cpu, allocated, collections float64 } // seconds, octets

func readSpent(proxy *lab.Proxy) (s spent, err error) {
	for _, m := range []struct {
		name string
		to   *float64
	}{{"process_cpu_seconds_total", &s.cpu}, {"go_memstats_alloc_bytes_total", &s.allocated}, {"go_gc_duration_seconds_count", &s.collections}} {
		if *m.to, err = proxy.Metric(m.name); err != nil {
			return s, err
		}
	}
	return s, nil
}

// reloads measures what a reload costs a proxy that has nothing else to do.
func reloads(o *options, programs lab.Programs, provider *lab.Provider, dir string) (*lab.Table, error) {
	proxy, list, err := startWithList(programs, provider, dir)
	if err != nil {
		return nil, err
	}
	defer proxy.Stop()
	t := &lab.Table{Title: fmt.Sprintf("%d accounts, a reload, means of %d", o.Accounts, o.Rounds),
		Header: []string{"", "reload (ms)", "CPU (ms)", "allocated (MB)", "collections"}}
	for _, kind := range []struct {
		name   string
		change bool
	}{{"nothing changed", false}, {fmt.Sprintf("one account in %d changed", changedOf), true}} {
		before, err := readSpent(proxy)
		if err != nil {
			return nil, err
		}
		total := 0.0
		for range o.Rounds {
			if kind.change {
				if err := list.change(provider.Accounts); err != nil {
					return nil, err
				}
			}
			took, err := reload(proxy)
			if err != nil {
				return nil, err
			}
			total += took
		}
		after, err := readSpent(proxy)
		if err != nil {
			return nil, err
		}
		n := float64(o.Rounds)
		t.Add(kind.name, lab.Number(total/n), lab.Number((after.cpu-before.cpu)*1e3/n), lab.Number((after.allocated-before.allocated)/1e6/n),
			lab.Number((after.collections-before.collections)/n))
	}
	return t, nil
}
