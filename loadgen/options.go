package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"
)

// options is the command line. Its help texts are the documentation; what a
// profile sets has no default here.
type options struct {
	Target  string `default:"127.0.0.1:2525" placeholder:"HOST:PORT" help:"The SMTP server to load. It must be on this machine: loadgen refuses every address that is not a loopback address."`
	Profile string `default:"powermta" enum:"powermta,postfix,bench" help:"Whose behaviour to imitate, where the flags below do not say otherwise. powermta: many connections, pipelining and BDAT where offered, mixed sizes. postfix: fewer connections, DATA. bench: step by step, DATA, 20 messages of 10k a connection: the profile of published figures."`

	Rate     rate          `group:"Open loop (latency counts from the scheduled instant)" xor:"rate" placeholder:"R" help:"Messages to send per time, however fast the server answers: 50k is 50,000 a minute, 833/s is by second. Without --rate and --steps the loop is closed: each connection sends as fast as it is answered."`
	Steps    []rate        `group:"Open loop (latency counts from the scheduled instant)" xor:"rate" placeholder:"R" help:"Rates to go through one after the other, each for --step-time and with figures of its own, as in 1k,5k,10k,20k,50k."`
	StepTime time.Duration `group:"Open loop (latency counts from the scheduled instant)" default:"10s" help:"How long each of the --steps lasts."`
	Ramp     time.Duration `group:"Open loop (latency counts from the scheduled instant)" help:"Raise the rate from zero to the (first) rate over this time, before the run."`
	Arrivals string        `group:"Open loop (latency counts from the scheduled instant)" default:"poisson" enum:"poisson,fixed" help:"How messages follow each other: poisson (as independent senders do) or fixed (evenly spaced)."`
	Drain    time.Duration `group:"Open loop (latency counts from the scheduled instant)" default:"30s" help:"How long to wait after the last arrival for messages that are still queued here. Those not sent by then count as failed."`

	Messages int           `group:"Length" placeholder:"N" help:"Closed loop: how many messages to send. Default: 10000, unless there is a --duration."`
	Duration time.Duration `group:"Length" help:"How long to send. Open loop with --rate: 10s if not given."`

	Connections int     `group:"Load" short:"c" placeholder:"N" help:"Connections that carry messages at the same time. In an open loop a message waits if none is free."`
	PerConn     int     `group:"Load" name:"messages-per-connection" short:"m" placeholder:"N" help:"Messages on a connection before it is closed and another one opened; 0 is no limit."`
	Idle        int     `group:"Load" placeholder:"N" help:"Further connections that log in, then do nothing until the end, when each must still answer."`
	Size        sizeMix `group:"Load" placeholder:"MIX" help:"Size of messages: 10k, or sizes with weights such as 2k:50,10k:40,100k:10."`
	Recipients  int     `group:"Load" default:"1" placeholder:"N" help:"Recipients of each message."`
	Seed        uint64  `group:"Load" default:"1" help:"Seed of all that is random. Equal seeds give equal schedules."`

	Pipelining choice        `group:"SMTP" placeholder:"auto|on|off" help:"Send commands without waiting for each reply (RFC 2920); auto: if the server offers it."`
	BDAT       choice        `group:"SMTP" name:"bdat" placeholder:"auto|on|off" help:"Send content with BDAT (RFC 3030) instead of DATA; auto: if the server offers CHUNKING. With pipelining a message is a single write."`
	TLS        string        `group:"SMTP" name:"tls" default:"none" enum:"none,starttls,implicit" help:"Encryption: none, starttls or implicit."`
	CAFile     string        `group:"SMTP" name:"ca-file" placeholder:"FILE" help:"Check the server's certificate against this CA (PEM), for the name localhost. Without it no certificate is checked: the server is on this machine."`
	Auth       string        `group:"SMTP" default:"plain" enum:"plain,login,none" help:"SASL mechanism of the log in: plain, login, or none."`
	Timeout    time.Duration `group:"SMTP" default:"2m" help:"How long to wait for any reply."`
	Resend     time.Duration `group:"SMTP" placeholder:"TIME" help:"Send a message again, as an MTA does, that was refused for now (4yz) or whose connection failed before its end, until it was due for so long. Its latency counts from when it was due. Without: never."`

	AccountsFile string  `group:"Accounts" placeholder:"FILE" help:"Log in with the addresses of this accounts.json, the proxy's own."`
	Accounts     int     `group:"Accounts" default:"0" placeholder:"N" help:"How many accounts to use: the first N of the file, or N made from --login. 0: all of the file, or one."`
	Login        string  `group:"Accounts" default:"user%d@gmail.com" placeholder:"PATTERN" help:"Login names, without a file. %d becomes 1, 2, ... up to --accounts."`
	Password     string  `group:"Accounts" default:"placeholder" help:"The password, the same for all of them."`
	Skew         float64 `group:"Accounts" default:"0" help:"0: accounts take turns, connection by connection. Above 1: exponent of a Zipf distribution, few accounts get most connections."`

	Sandbox      string `group:"Proof and cost" placeholder:"URL" help:"HTTP address of the sandbox provider that the server relays to, as http://127.0.0.1:8025. After the run it is asked what was delivered: every acknowledged message, once, unaltered, under its account."`
	Hashes       bool   `group:"Proof and cost" help:"Also compare the SHA-256 of every message as delivered. The sandbox must keep messages, so this is for runs that fit into its memory."`
	ProxyMetrics string `group:"Proof and cost" placeholder:"URL" help:"Metrics of the server under load, as http://127.0.0.1:9090/metrics: its CPU time per message and its memory are then reported."`
	DryRun       bool   `group:"Proof and cost" help:"The server is a proxy in dry-run mode (serve --dry-run), which answers as ever and hands nothing over: every acknowledged message must be one that its metrics count as a dry run, and none may be delivered. Needs --proxy-metrics."`
	PID          []int  `group:"Proof and cost" name:"pid" placeholder:"PID" help:"Process id of the server under load, for servers without such metrics: CPU time and memory come from /proc, with its child processes."`

	JSON  string `group:"Output" name:"json" placeholder:"FILE" help:"Write the report as JSON; - is standard output, in place of the text."`
	HTML  string `group:"Output" name:"html" placeholder:"FILE" help:"Write the report as a page with plots that needs no network."`
	Quiet bool   `group:"Output" short:"q" help:"No progress line and no text report."`
}

// profiles are the values of flags that a profile sets, by flag.
var profiles = map[string]map[string]string{
	"powermta": {"connections": "100", "messages-per-connection": "100", "size": "3k:30,10k:45,30k:20,100k:5", "pipelining": "auto", "bdat": "auto"},
	"postfix":  {"connections": "20", "messages-per-connection": "100", "size": "10k", "pipelining": "auto", "bdat": "off"},
	"bench":    {"connections": "100", "messages-per-connection": "20", "size": "10k", "pipelining": "off", "bdat": "off"},
}

// profileResolver gives kong the profile's value for a flag that the command
// line does not set.
var profileResolver kong.ResolverFunc = func(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	profile := "powermta"
	for _, p := range ctx.Path {
		if p.Flag != nil && p.Flag.Name == "profile" {
			profile = fmt.Sprint(ctx.FlagValue(p.Flag))
		}
	}
	if value, ok := profiles[profile][flag.Name]; ok {
		return value, nil
	}
	return nil, nil
}

// A plan is a checked command line.
type plan struct {
	*options
	target   netip.AddrPort
	sandbox  *url.URL // nil: none
	server   sampler  // nil: unknown
	dialogue *dialogue
	logins   []string
	phases   []phase // nil: closed loop
	messages int     // due, or an upper bound in a closed loop with a duration
}

// maxSlots is the most messages a run may have: each takes eight octets.
const maxSlots = 1 << 28

// newPlan checks the command line. Every error is a mistake in it.
func newPlan(o *options) (*plan, error) {
	p := &plan{options: o}
	for _, check := range []func() error{p.checkAddresses, p.checkLoad, p.checkAccounts, p.checkTLS} {
		if err := check(); err != nil {
			return nil, err
		}
	}
	p.dialogue = &dialogue{
		target: p.target.String(), tlsMode: o.TLS, auth: o.Auth, password: o.Password,
		pipeline: o.Pipelining, bdat: o.BDAT, rcpts: o.Recipients, timeout: o.Timeout, goodbyes: o.Resend > 0,
	}
	if o.TLS != "none" {
		var err error
		if p.dialogue.tls, err = tlsConfig(o.CAFile); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// checkAddresses resolves all addresses.
func (p *plan) checkAddresses() (err error) {
	if p.target, err = resolveLoopback(p.Target); err != nil {
		return fmt.Errorf("--target: %w", err)
	}
	if p.Sandbox != "" {
		if p.sandbox, err = checkLoopbackURL(p.Sandbox); err != nil {
			return fmt.Errorf("--sandbox: %w", err)
		}
	}
	if p.Hashes && p.sandbox == nil {
		return errors.New("--hashes needs --sandbox")
	}
	switch {
	case p.ProxyMetrics != "" && p.PID != nil:
		return errors.New("--proxy-metrics and --pid say the same; give one of them")
	case p.ProxyMetrics != "":
		u, err := checkLoopbackURL(p.ProxyMetrics)
		if err != nil {
			return fmt.Errorf("--proxy-metrics: %w", err)
		}
		p.server = newMetricsSampler(u)
	case p.PID != nil:
		p.server = pidSampler(p.PID)
	}
	switch _, metrics := p.server.(*metricsSampler); {
	case p.DryRun && !metrics:
		return errors.New("--dry-run needs --proxy-metrics")
	case p.DryRun && p.sandbox != nil:
		return errors.New("--dry-run and --sandbox: nothing is delivered in a dry run")
	}
	return nil
}

// checkLoad checks the numbers and lays the run out.
func (p *plan) checkLoad() error {
	for _, f := range []struct {
		name       string
		value, min int
		most       int
	}{
		{"connections", p.Connections, 1, 60000}, {"messages-per-connection", p.PerConn, 0, maxSlots}, {"idle", p.Idle, 0, 60000},
		{"recipients", p.Recipients, 1, 1000}, {"messages", p.Messages, 0, maxSlots}, {"accounts", p.Accounts, 0, 1e6},
	} {
		if f.value < f.min || f.value > f.most {
			return fmt.Errorf("--%s: %d is not in %d..%d", f.name, f.value, f.min, f.most)
		}
	}
	if p.StepTime <= 0 || p.Ramp < 0 || p.Drain < 0 || p.Duration < 0 || p.Timeout <= 0 || p.Resend < 0 {
		return errors.New("a time is negative, or --step-time or --timeout is zero")
	}
	steps, length := p.Steps, p.StepTime
	if p.Rate > 0 {
		steps, length = []rate{p.Rate}, p.Duration
		if length == 0 {
			length = 10 * time.Second
		}
	}
	if len(steps) == 0 {
		return p.layClosed()
	}
	if p.Messages > 0 || p.Steps != nil && p.Duration > 0 {
		return errors.New("an open loop's length is set by --rate with --duration, or by --steps with --step-time")
	}
	p.phases = buildPhases(steps, length, p.Ramp)
	expected := 0.0
	for _, ph := range p.phases {
		expected += ph.expected()
	}
	if expected > maxSlots {
		return fmt.Errorf("%.0f messages are more than a run can have (%d)", expected, maxSlots)
	}
	p.messages = countArrivals(p.phases, p.Arrivals == "poisson", p.Seed)
	return nil
}

// layClosed lays out a closed loop.
func (p *plan) layClosed() error {
	if p.Ramp > 0 {
		return errors.New("--ramp needs --rate or --steps")
	}
	p.messages = p.Messages
	switch {
	case p.messages == 0 && p.Duration == 0:
		p.messages = 10000
	case p.messages == 0: // more than any server takes in that time
		p.messages = int(min(p.Duration.Seconds()*200_000+1, maxSlots))
	}
	return nil
}

// checkTLS checks that flags for TLS are not given without it.
func (p *plan) checkTLS() error {
	if p.CAFile != "" && p.TLS == "none" {
		return errors.New("--ca-file needs --tls starttls or --tls implicit")
	}
	return nil
}

// tlsConfig returns the client's settings.
func tlsConfig(caFile string) (*tls.Config, error) {
	cfg := &tls.Config{ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if caFile == "" {
		cfg.InsecureSkipVerify = true // only loopback addresses are dialled
		return cfg, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: %s has no certificate", caFile)
	}
	return cfg, nil
}
