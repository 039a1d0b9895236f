package main

import (
	"fmt"
	"math"
	"sync"
	"time"

	"xoauth2-proxy/perf/lab"
)

// The shape of "overload load": what goes through is set by the provider's
// pace, so that the machine has time left to be looked at.
const (
	loadAccounts    = 10
	loadConnections = 5
)

// measure runs "overload load".
func (c *loadCmd) measure(b *lab.Bench) (*lab.Table, error) {
	s, err := start(b, shape{loadAccounts, loadConnections, c.Pace, "off", c.Queue})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	common := []string{"-m", "0", "--size", "10k"}
	closed, err := s.load(b, append(common, "-c", fmt.Sprint(loadAccounts*loadConnections), "--duration", "5s")...)
	if err != nil {
		return nil, err
	}
	capacity := closed.Total.Rate
	before, err := s.resident()
	if err != nil {
		return nil, err
	}
	p := &prober{stand: s}
	normal, err := p.normal()
	if err != nil {
		return nil, err
	}
	var probing sync.WaitGroup
	stop := make(chan struct{})
	var probeErr error
	probing.Go(func() { probeErr = p.run(stop) })
	over, err := s.load(b, append(common, "-c", fmt.Sprint(c.Clients), "--sandbox", s.sandbox.API,
		"--rate", fmt.Sprintf("%d/s", int(math.Ceil(capacity*c.Factor))), "--duration", c.Duration.String(), "--drain", "0s")...)
	ended := time.Now()
	close(stop)
	probing.Wait()
	if err == nil {
		err = probeErr
	}
	if err != nil {
		return nil, err
	}
	back, err := p.until(normal, ended)
	if err != nil {
		return nil, err
	}
	after, err := s.resident()
	if err != nil {
		return nil, err
	}
	t := &lab.Table{Title: fmt.Sprintf("%v of %.1f times the capacity", c.Duration, c.Factor), Header: []string{"what", "value"}}
	t.Add("capacity, messages a second", lab.Number(capacity))
	t.Add("offered, messages a second", lab.Number(over.Total.TargetRate))
	t.Add("accepted, messages a second", lab.Number(over.Total.Rate))
	t.Add("accepted, refused, neither", fmt.Sprintf("%d, %d, %d", over.Total.Accepted, over.Total.Refused,
		over.Total.Broken+over.Total.Unknown+over.Total.Unsent))
	for _, r := range over.Replies {
		t.Add(fmt.Sprintf("answered %d at %s", r.Code, r.Phase), fmt.Sprintf("%d: %s", r.Count, r.Sample))
	}
	t.Add("probes accepted, refused", fmt.Sprintf("%d, %d", p.accepted, len(p.refused)))
	t.Add("refused within, ms, P50 and P99", fmt.Sprintf("%.1f, %.1f", quantile(p.refused, .5), quantile(p.refused, .99)))
	t.Add("accepted within, ms, P50 and P99", fmt.Sprintf("%v, %v", over.Total.Service.P50, over.Total.Service.P99))
	t.Add("the same without load, ms", lab.Number(normal.Seconds()*1000))
	t.Add("memory before, most, after, MiB", fmt.Sprintf("%.0f, %.0f, %.0f", before/(1<<20), p.most/(1<<20), after/(1<<20)))
	t.Add("normal again after, s", lab.Number(back.Seconds()))
	t.Add("proof of delivery holds", fmt.Sprint(over.Proof != nil && over.Proof.Holds))
	return t, nil
}
