// Package idle measures what clients cost that do nothing: the memory of the proxy for
// ten thousand idle ones in clear and two thousand within TLS, and the latency
// of others beside a thousand that send an octet now and then (slowloris). All
// of it is on loopback, from several source addresses.
package idle

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	lab.Repeated
	Clients int           `default:"10000" help:"Idle clients in clear, logged in."`
	TLS     int           `name:"tls" default:"2000" help:"Idle clients within TLS."`
	Active  int           `default:"500" help:"Connections that carry messages beside the idle clients in clear."`
	Slow    int           `default:"1000" help:"Slow clients, each of which sends an octet per --drip and never a line."`
	Drip    time.Duration `default:"1s" help:"How often a slow client sends an octet."`
	Rate    string        `default:"300/s" help:"Messages to send beside the slow clients."`
}

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	memory := &lab.Table{Title: "Memory of idle clients", Header: []string{"clients", "resident, none (MB)", "resident, all (MB)",
		"KB per client", "resident with load, most (MB)", "in its second half (MB)", "messages/s"}}
	latency := &lab.Table{Title: "Latency beside slow clients", Header: append([]string{"slow clients"}, lab.FigureNames...)}
	o.memory(b, memory, "in clear", o.Clients, o.Active, openPlain)
	o.memory(b, memory, "TLS", o.TLS, 0, openTLS)
	o.memory(b, memory, "TLS, after a message of 100 KB", o.TLS, 0, openUsedTLS)
	o.latency(b, latency)
	o.Write(o.Rounds, memory, latency)
}

// accounts is how many accounts a stand has.
const accounts = 50

// A stand is one whose proxy has a listener of each kind.
type stand struct {
	*lab.Stand
	secure string // the address of the listener with implicit TLS
}

// newStand starts a fresh one.
func newStand(b *lab.Bench) *stand {
	dir, secure := b.Folder(), lab.FreeAddress()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := testkit.PEM(testkit.Certificate("localhost", "127.0.0.1"))
	lab.Check(os.WriteFile(certFile, cert, 0o600))
	lab.Check(os.WriteFile(keyFile, key, 0o600))
	return &stand{secure: secure, Stand: b.NewStand(lab.Sandbox{Accounts: accounts, Preset: "gmail"}, lab.Setup{Connections: 20, Sections: map[string]any{
		"listeners": []map[string]any{{"address": "127.0.0.1:0"}, {"address": secure, "tls": "implicit"}},
		"server":    map[string]any{"cert_file": certFile, "key_file": keyFile, "command_timeout": "1h", "idle_timeout": "1h", "greeting_timeout": "1h"},
	}})}
}

// load sends messages for the time of a run.
func (o *Command) load(s *stand, args ...string) *report.Report {
	return s.Load(append([]string{"--duration", o.Time.String()}, args...)...)
}

// steps is in how many steps idle clients come, for the slope.
const steps = 10

// memory opens idle clients step by step, and then puts a load beside them.
func (o *Command) memory(b *lab.Bench, t *lab.Table, name string, clients, active int, open func(*stand, int) (net.Conn, error)) {
	s := newStand(b)
	defer s.Stop()
	var held clientList
	defer held.close()
	var points []point
	for step := range steps { // the first clients also pay for what all share
		held.open(s, len(held), clients*(step+1)/steps, open)
		points = append(points, point{float64(len(held)), s.Resident()})
	}
	slope := slope(points)
	last := points[len(points)-1]
	loaded, settled, rate := 0.0, 0.0, 0.0
	if active > 0 {
		rep := o.load(s, "--connections", strconv.Itoa(active), "--profile", "bench")
		loaded, settled, rate = float64(rep.Server.PeakResident)/1e6, later(rep.Series)/1e6, rep.Total.Rate
		name += fmt.Sprintf(", %d more active", active)
	}
	if lost := held.lost(); lost > 0 {
		lab.Failf("%d of %d idle clients were closed", lost, len(held))
	}
	t.Add(fmt.Sprintf("%d %s", clients, name), (last.y-slope*last.x)/1e6, last.y/1e6, slope/1e3, loaded, settled, rate)
}

// latency loads with and without slow clients, by turns.
func (o *Command) latency(b *lab.Bench, t *lab.Table) {
	s := newStand(b)
	defer s.Stop()
	runs := make(map[int][]*report.Report)
	for range o.Rounds {
		for _, slow := range []int{0, o.Slow} {
			stop := startSlow(s.Addr, slow, o.Drip)
			rep := o.load(s, "--connections", "50", "--rate", o.Rate)
			stop()
			runs[slow] = append(runs[slow], rep)
			fmt.Fprintf(os.Stderr, "%d slow clients: P99 %v ms\n", slow, rep.Total.Latency.P99)
		}
	}
	without, with := lab.Summarize(runs[0]), lab.Summarize(runs[o.Slow])
	t.Add(append([]any{0}, without.Cells()...)...)
	t.Add(append([]any{o.Slow}, with.Cells()...)...)
	t.Add("ratio", with.Rate/without.Rate, with.CPU/without.CPU, with.P50/without.P50, with.P95/without.P95, with.P99/without.P99, "", "")
}

// A point is a number of clients and the memory then.
type point struct{ x, y float64 }

// slope is the slope of the line with the least squares through the points.
func slope(points []point) float64 {
	var n, x, y, xx, xy float64
	for _, p := range points {
		n, x, y, xx, xy = n+1, x+p.x, y+p.y, xx+p.x*p.x, xy+p.x*p.y
	}
	return (n*xy - x*y) / (n*xx - x*x)
}

// later is the median of what was resident in the second half of a run, in
// octets: when all connections to the provider are there.
func later(series []report.Point) float64 {
	return lab.MedianOf(series[len(series)/2:], func(p report.Point) float64 { return float64(p.Resident) })
}
