// Idle measures what clients cost that do nothing: the memory of the proxy for
// ten thousand idle ones in clear and two thousand within TLS, and the latency
// of others beside a thousand that send an octet now and then (slowloris). All
// of it is on loopback, from several source addresses.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	lab.Common
	lab.Repeated
	Clients int           `default:"10000" help:"Idle clients in clear, logged in."`
	TLS     int           `name:"tls" default:"2000" help:"Idle clients within TLS."`
	Active  int           `default:"500" help:"Connections that carry messages beside the idle clients in clear."`
	Slow    int           `default:"1000" help:"Slow clients, each of which sends an octet per --drip and never a line."`
	Drip    time.Duration `default:"1s" help:"How often a slow client sends an octet."`
	Rate    string        `default:"300/s" help:"Messages to send beside the slow clients."`
}

func main() {
	var o options
	lab.Main("idle", "Measures what idle and slow clients cost the proxy and others.", &o, func() error { return o.Bench(o.measure) })
}

// measure is the command behind its flags.
func (o *options) measure(b *lab.Bench) error {
	memory := &lab.Table{Title: "Memory of idle clients", Header: []string{"clients", "resident, none (MB)", "resident, all (MB)", "KB per client", "resident with load, most (MB)", "in its second half (MB)", "messages/s"}}
	latency := &lab.Table{Title: "Latency beside slow clients", Header: []string{"slow clients", "messages/s", "P50 (ms)", "P95 (ms)", "P99 (ms)", "failed"}}
	m := &measurement{options: o, bench: b}
	for _, measure := range []func() error{
		func() error { return m.memory(memory, "in clear", o.Clients, o.Active, openPlain) },
		func() error { return m.memory(memory, "TLS", o.TLS, 0, openTLS) },
		func() error { return m.memory(memory, "TLS, after a message of 100 KB", o.TLS, 0, openUsedTLS) },
		func() error { return m.latency(latency) },
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return o.Write("idle", o.Rounds, memory, latency)
}

// accounts is how many accounts a stand has.
const accounts = 50

// A measurement makes stands.
type measurement struct {
	*options
	bench *lab.Bench
}

// A stand is one whose proxy has a listener of each kind.
type stand struct {
	*lab.Stand
	secure string // the address of the listener with implicit TLS
}

// stand starts a fresh one.
func (m *measurement) stand() (*stand, error) {
	dir, err := m.bench.Folder()
	if err != nil {
		return nil, err
	}
	cert, key, err := writeCertificate(dir)
	if err != nil {
		return nil, err
	}
	port, err := lab.FreePort()
	if err != nil {
		return nil, err
	}
	s := &stand{secure: fmt.Sprintf("127.0.0.1:%d", port)}
	s.Stand, err = m.bench.NewStand(accounts, 0, lab.Setup{Connections: 20, Sections: map[string]any{
		"listeners": []map[string]any{{"address": "127.0.0.1:0"}, {"address": s.secure, "tls": "implicit"}},
		"server":    map[string]any{"cert_file": cert, "key_file": key, "command_timeout": "1h", "idle_timeout": "1h", "greeting_timeout": "1h"},
	}})
	return s, err
}

// load sends messages for the time of a run.
func (m *measurement) load(s *stand, args ...string) (*report.Report, error) {
	return s.Load(append([]string{"--duration", m.Time.String()}, args...)...)
}

// steps is in how many steps idle clients come, for the slope.
const steps = 10

// memory opens idle clients step by step, and then puts a load beside them.
func (m *measurement) memory(t *lab.Table, name string, clients, active int, open func(*stand, int) (io.Closer, error)) error {
	s, err := m.stand()
	if err != nil {
		return err
	}
	defer s.Stop()
	var held closers
	defer held.Close()
	// The first clients also pay for what all share.
	if err := held.open(s, 0, clients/steps, open); err != nil {
		return err
	}
	var points []point
	note := func() error {
		resident, err := lab.ResidentMemory(s.Proxy.PID())
		points = append(points, point{float64(len(held)), float64(resident)})
		return err
	}
	if err := note(); err != nil {
		return err
	}
	for step := 1; step < steps; step++ {
		if err := held.open(s, len(held), clients*(step+1)/steps, open); err != nil {
			return err
		}
		if err := note(); err != nil {
			return err
		}
	}
	slope := slope(points)
	last := points[len(points)-1]
	loaded, settled, rate := 0.0, 0.0, 0.0
	if active > 0 {
		rep, err := m.load(s, "--connections", strconv.Itoa(active), "--profile", "bench")
		if err != nil {
			return err
		}
		loaded, settled, rate = float64(rep.Server.PeakResident)/1e6, later(rep.Series)/1e6, rep.Total.Rate
		name += fmt.Sprintf(", %d more active", active)
	}
	if lost := held.lost(); lost > 0 {
		return fmt.Errorf("%d of %d idle clients were closed", lost, len(held))
	}
	t.Add(fmt.Sprintf("%d %s", clients, name), lab.Number((last.y-slope*last.x)/1e6), lab.Number(last.y/1e6), lab.Number(slope/1e3), lab.Number(loaded), lab.Number(settled), lab.Number(rate))
	return nil
}

// latency loads with and without slow clients, by turns.
func (m *measurement) latency(t *lab.Table) error {
	s, err := m.stand()
	if err != nil {
		return err
	}
	defer s.Stop()
	runs := make(map[int][]*report.Report)
	for range m.Rounds {
		for _, slow := range []int{0, m.Slow} {
			crowd, err := startSlow(s.Proxy.Addr, slow, m.Drip)
			if err != nil {
				return err
			}
			rep, err := m.load(s, "--connections", "50", "--rate", m.Rate)
			crowd.stop()
			if err != nil {
				return err
			}
			runs[slow] = append(runs[slow], rep)
			fmt.Fprintf(os.Stderr, "%d slow clients: P99 %v ms\n", slow, rep.Total.Latency.P99)
		}
	}
	figures := map[int]lab.Figures{}
	for _, slow := range []int{0, m.Slow} {
		f := lab.Summarize(runs[slow])
		figures[slow] = f
		t.Add(strconv.Itoa(slow), lab.Number(f.Rate), lab.Number(f.P50), lab.Number(f.P95), lab.Number(f.P99), strconv.FormatInt(f.Failed, 10))
	}
	a, z := figures[0], figures[m.Slow]
	t.Add("ratio", lab.Ratio(z.Rate, a.Rate), lab.Ratio(z.P50, a.P50), lab.Ratio(z.P95, a.P95), lab.Ratio(z.P99, a.P99), "")
	return nil
}
