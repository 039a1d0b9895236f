package overload

import (
	"errors"
	"fmt"
	"math"
	"time"

	"xoauth2-proxy/perf/lab"
)

// The shape of "overload load": what goes through is set by the provider's
// pace, so that the machine has time left to be looked at.
const (
	loadAccounts    = 10
	loadConnections = 5
)

// measure measures "overload load".
func (c *loadCmd) measure(b *lab.Bench) *lab.Table {
	s := start(b, lab.Sandbox{Accounts: loadAccounts, Latency: c.Pace}, loadConnections, c.Queue)
	common := []string{"-m", "0", "--size", "10k"}
	capacity := s.Load(append(common, "-c", fmt.Sprint(loadAccounts*loadConnections), "--duration", "5s")...).Total.Rate
	before := s.Resident()
	p := &prober{stand: s}
	normal := p.normal()
	stop := make(chan struct{})
	probed := lab.Go(func() { p.run(stop) })
	over := s.Load(append(common, "-c", fmt.Sprint(c.Clients), "--rate", fmt.Sprintf("%d/s", int(math.Ceil(capacity*c.Factor))),
		"--duration", c.Duration.String(), "--drain", "0s")...)
	ended := time.Now()
	close(stop)
	probed()
	back := p.until(normal, ended)
	t := &lab.Table{Title: fmt.Sprintf("%v of %.1f times the capacity", c.Duration, c.Factor), Header: []string{"what", "value"}}
	t.Add("capacity, messages a second", capacity)
	t.Add("offered, messages a second", over.Total.TargetRate)
	t.Add("accepted, messages a second", over.Total.Rate)
	outcome(t, over)
	t.Add("probes accepted, refused", lab.List(p.accepted, len(p.refused)))
	t.Add("refused within, ms, P50 and P99", lab.List(lab.Median(p.refused), lab.Quantile(p.refused, .99)))
	t.Add("accepted within, ms, P50 and P99", lab.List(over.Total.Service.P50, over.Total.Service.P99))
	t.Add("the same without load, ms", normal)
	t.Add("memory before, most, after, MiB", lab.List(before/(1<<20), p.most/(1<<20), s.Resident()/(1<<20)))
	t.Add("normal again after, s", back/1e3)
	return t
}

// prober sends messages one after the other beside the load, and measures how
// long each answer takes, in milliseconds.
type prober struct {
	stand    *lab.Stand
	client   *lab.Client
	account  int
	refused  []float64 // time to each refusal
	accepted int
	most     float64 // memory of the proxy, octets
}

// probeInterval keeps the probes from being a load of their own.
const probeInterval = 20 * time.Millisecond

// run probes until stop is closed.
func (p *prober) run(stop <-chan struct{}) {
	t := time.NewTicker(probeInterval)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		if n%50 == 0 {
			p.most = max(p.most, p.stand.Resident())
		}
		if took, ok := p.message(); ok {
			p.accepted++
		} else {
			p.refused = append(p.refused, took)
		}
	}
}

// normal is the median of what a message takes without load.
func (p *prober) normal() float64 {
	var all []float64
	for range 20 {
		took, ok := p.message()
		if !ok {
			lab.Failf("a message without load was not accepted")
		}
		all = append(all, took)
	}
	return lab.Median(all)
}

// recovered is how many messages in a row must be as quick as without load.
const recovered = 5

// until returns how long after since messages took at most twice the normal time.
func (p *prober) until(normal float64, since time.Time) float64 {
	for good := 0; good < recovered; {
		took, ok := p.message()
		if good++; !ok || took > 2*normal {
			good = 0
		}
		if time.Since(since) > time.Minute {
			lab.Failf("not normal a minute after the load")
		}
	}
	return lab.Milliseconds(since)
}

// message sends one message, as one account after the other. A refusal at any command
// counts from its MAIL.
func (p *prober) message() (took float64, ok bool) {
	if p.client == nil {
		login := lab.Login(p.account % loadAccounts)
		p.account++
		p.client = lab.Must(lab.Open(lab.Must(lab.Dial(p.stand.Addr, nil)), login))
	}
	start := time.Now()
	err := p.client.Envelope(1)
	if err == nil {
		_, err = p.client.Data("Subject: probe\r\n\r\nHello\r\n")
	}
	took = lab.Milliseconds(start)
	refusal, refused := errors.AsType[lab.Refusal](err)
	switch {
	case !refused:
		lab.Check(err)
		return took, true
	case refusal.Closing():
		p.client.Close()
		p.client = nil
	default:
		lab.Check(p.client.Ask("RSET", '2'))
	}
	return took, false
}
