// Idle measures what clients cost that do nothing: the memory of the proxy for
// ten thousand idle ones in clear and two thousand within TLS, and the latency
// of others beside a thousand that send an octet now and then (slowloris). All
// of it is on loopback, from several source addresses.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Clients int           `default:"10000" help:"Idle clients in clear, logged in."`
	TLS     int           `name:"tls" default:"2000" help:"Idle clients within TLS."`
	Active  int           `default:"500" help:"Connections that carry messages beside the idle clients in clear."`
	Slow    int           `default:"1000" help:"Slow clients, each of which sends an octet per --drip and never a line."`
	Drip    time.Duration `default:"1s" help:"How often a slow client sends an octet."`
	Rate    string        `default:"300/s" help:"Messages to send beside the slow clients."`
	Time    time.Duration `default:"10s" help:"Length of a run."`
	Rounds  int           `default:"5" help:"Runs with and without the slow clients; the figures are medians."`
	Proxy   string        `placeholder:"FILE" help:"Measure this program instead of building one."`
	Out     string        `short:"o" placeholder:"FILE" help:"Write the tables here as well."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("idle"), kong.Description("Measures what idle and slow clients cost the proxy and others."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "idle: %v (see --help)\n", err)
		os.Exit(2)
	}
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "idle: %v\n", err)
		os.Exit(1)
	}
}

// run measures and writes the tables.
func run(o *options) error {
	dir, err := os.MkdirTemp("", "perf-idle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := lab.BuildAll(dir, o.Proxy)
	if err != nil {
		return err
	}
	memory := &lab.Table{Title: "Memory of idle clients", Header: []string{"clients", "resident, none (MB)", "resident, all (MB)", "KB per client", "resident with load (MB)", "messages/s"}}
	latency := &lab.Table{Title: "Latency beside slow clients", Header: []string{"slow clients", "messages/s", "P50 (ms)", "P95 (ms)", "P99 (ms)", "failed"}}
	b := &bench{options: o, programs: programs, dir: dir}
	for _, measure := range []func() error{
		func() error { return b.memory(memory, "in clear", o.Clients, o.Active, openPlain) },
		func() error { return b.memory(memory, "TLS", o.TLS, 0, openTLS) },
		func() error { return b.memory(memory, "TLS, after a message of 100 KB", o.TLS, 0, openUsedTLS) },
		func() error { return b.latency(latency) },
	} {
		if err := measure(); err != nil {
			return err
		}
	}
	return write(o, memory, latency)
}

// write renders the tables.
func write(o *options, tables ...*lab.Table) error {
	out := io.Writer(os.Stdout)
	if o.Out != "" {
		f, err := os.Create(o.Out)
		if err != nil {
			return err
		}
		defer f.Close()
		out = io.MultiWriter(os.Stdout, f)
	}
	if _, err := io.WriteString(out, lab.Heading("go run ./perf/idle "+strings.Join(os.Args[1:], " "), o.Rounds)); err != nil {
		return err
	}
	for _, t := range tables {
		if _, err := t.WriteTo(out); err != nil {
			return err
		}
	}
	return nil
}

// accounts is how many accounts a stand has.
const accounts = 50

// A bench makes stands.
type bench struct {
	*options
	programs lab.Programs
	dir      string
	stands   int
}

// A stand is a sandbox and a proxy with a listener of each kind.
type stand struct {
	sandbox *lab.Provider
	proxy   *lab.Proxy
	secure  string // the address of the listener with implicit TLS
}

// stand starts a fresh one.
func (b *bench) stand() (*stand, error) {
	b.stands++
	dir := filepath.Join(b.dir, fmt.Sprintf("stand-%d", b.stands))
	if err := os.Mkdir(dir, 0o700); err != nil {
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
	if s.sandbox, err = lab.StartSandbox(b.programs, dir, accounts, 0); err != nil {
		return nil, err
	}
	s.proxy, err = lab.StartProxy(b.programs, dir, s.sandbox, 20, map[string]any{
		"listeners": []map[string]any{{"address": "127.0.0.1:0"}, {"address": s.secure, "tls": "implicit"}},
		"server":    map[string]any{"cert_file": cert, "key_file": key, "command_timeout": "1h", "idle_timeout": "1h", "greeting_timeout": "1h"},
	})
	if err != nil {
		s.sandbox.Stop()
		return nil, err
	}
	return s, nil
}

func (s *stand) stop() {
	s.proxy.Stop()
	s.sandbox.Stop()
}

// load sends messages for the time of a run.
func (b *bench) load(s *stand, args ...string) (*report.Report, error) {
	return lab.Load(b.programs.Loadgen, append([]string{"--duration", b.Time.String(), "--target", s.proxy.Addr, "--sandbox", s.sandbox.API,
		"--accounts-file", s.sandbox.Accounts, "--proxy-metrics", s.proxy.Admin + "/metrics"}, args...)...)
}

// steps is in how many steps idle clients come, for the slope.
const steps = 10

// memory opens idle clients step by step, and then puts a load beside them.
func (b *bench) memory(t *lab.Table, name string, clients, active int, open func(*stand, int) (io.Closer, error)) error {
	s, err := b.stand()
	if err != nil {
		return err
	}
	defer s.stop()
	var held closers
	defer held.Close()
	// The first clients also pay for what all share.
	if err := held.open(s, 0, clients/steps, open); err != nil {
		return err
	}
	var points []point
	note := func() error {
		resident, err := lab.ResidentMemory(s.proxy.PID())
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
	loaded, rate := 0.0, 0.0
	if active > 0 {
		rep, err := b.load(s, "--connections", strconv.Itoa(active), "--profile", "bench")
		if err != nil {
			return err
		}
		loaded, rate = float64(rep.Server.PeakResident)/1e6, rep.Total.Rate
		name += fmt.Sprintf(", %d more active", active)
	}
	if lost := held.lost(); lost > 0 {
		return fmt.Errorf("%d of %d idle clients were closed", lost, len(held))
	}
	t.Add(fmt.Sprintf("%d %s", clients, name), lab.Number((last.y-slope*last.x)/1e6), lab.Number(last.y/1e6), lab.Number(slope/1e3), lab.Number(loaded), lab.Number(rate))
	return nil
}

// latency loads with and without slow clients, by turns.
func (b *bench) latency(t *lab.Table) error {
	s, err := b.stand()
	if err != nil {
		return err
	}
	defer s.stop()
	runs := make(map[int][]*report.Report)
	for range b.Rounds {
		for _, slow := range []int{0, b.Slow} {
			crowd, err := startSlow(s.proxy.Addr, slow, b.Drip)
			if err != nil {
				return err
			}
			rep, err := b.load(s, "--connections", "50", "--rate", b.Rate)
			crowd.stop()
			if err != nil {
				return err
			}
			runs[slow] = append(runs[slow], rep)
			fmt.Fprintf(os.Stderr, "%d slow clients: P99 %v ms\n", slow, rep.Total.Latency.P99)
		}
	}
	figures := map[int]lab.Figures{}
	for _, slow := range []int{0, b.Slow} {
		f := lab.Summarize(runs[slow])
		figures[slow] = f
		t.Add(strconv.Itoa(slow), lab.Number(f.Rate), lab.Number(f.P50), lab.Number(f.P95), lab.Number(f.P99), strconv.FormatInt(f.Failed, 10))
	}
	a, z := figures[0], figures[b.Slow]
	t.Add("ratio", lab.Ratio(z.Rate, a.Rate), lab.Ratio(z.P50, a.P50), lab.Ratio(z.P95, a.P95), lab.Ratio(z.P99, a.P99), "")
	return nil
}
