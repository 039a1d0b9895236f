// Accounts measures what many accounts cost: the time from the start of the
// proxy to its first delivered message, its resident memory, and how long a
// reload takes, with an empty and with a filled token store; what a reload uses
// up; and what it does to the sessions that go on meanwhile. All of it is on
// loopback.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/perf/lab"
)

// options is the command line.
type options struct {
	Accounts int    `default:"10000" help:"Accounts."`
	Rounds   int    `default:"5" help:"Starts, and reloads of each; the figures are medians."`
	Rate     int    `default:"300" help:"Messages a second during the reloads whose stalls are measured."`
	Only     string `enum:"all,starts,reloads,stalls" default:"all" help:"Measure only the starts, the reloads of an idle proxy, or the stalls."`
	Proxy    string `placeholder:"FILE" help:"Measure this program instead of building one."`
}

func main() {
	var o options
	parser := kong.Must(&o, kong.Name("accounts"), kong.Description("Measures what many accounts cost at the start, at rest and at a reload."))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "accounts: %v (see --help)\n", err)
		os.Exit(2)
	}
	if err := run(&o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "accounts: %v\n", err)
		os.Exit(1)
	}
}

// run measures and writes the table.
func run(o *options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "perf-accounts-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	programs, err := lab.BuildAll(dir, o.Proxy)
	if err != nil {
		return err
	}
	provider, err := lab.StartSandbox(programs, dir, o.Accounts, 0)
	if err != nil {
		return err
	}
	defer provider.Stop()
	if _, err := io.WriteString(out, lab.Heading("go run ./perf/accounts "+strings.Join(os.Args[1:], " "), o.Rounds)); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func(*options, lab.Programs, *lab.Provider, string) (*lab.Table, error)
	}{{"starts", starts}, {"reloads", reloads}, {"stalls", stalls}} {
		if o.Only != "all" && o.Only != part.name {
			continue
		}
		table, err := part.measure(o, programs, provider, dir)
		if err != nil {
			return err
		}
		if _, err := table.WriteTo(out); err != nil {
			return err
		}
	}
	return nil
}

// starts measures starts of the proxy, and reloads without a load.
func starts(o *options, programs lab.Programs, provider *lab.Provider, dir string) (*lab.Table, error) {
	table := &lab.Table{Title: fmt.Sprintf("%d accounts", o.Accounts),
		Header: []string{"token store", "start to first message (ms)", "resident (MB)", "reload (ms)", "resident after reloads (MB)"}}
	for _, tt := range []struct{ name, store string }{
		{"none", ""}, {"one record for each account", filepath.Join(dir, "tokens.db")},
	} {
		b := &bench{options: o, programs: programs, provider: provider, dir: dir, store: tt.store}
		if tt.store != "" {
			if err := fill(tt.store, provider.Accounts); err != nil {
				return nil, err
			}
		}
		for range o.Rounds {
			if err := b.round(); err != nil {
				return nil, err
			}
		}
		table.Add(tt.name, lab.Number(lab.Median(b.first)), lab.Number(lab.Median(b.resident)), lab.Number(lab.Median(b.reload)), lab.Number(lab.Median(b.after)))
	}
	return table, nil
}

// A bench measures starts with one configuration.
type bench struct {
	*options
	programs                       lab.Programs
	provider                       *lab.Provider
	dir, store                     string
	first, resident, reload, after []float64
}

// round starts a proxy, sends a message and reloads.
func (b *bench) round() error {
	start := time.Now()
	proxy, err := lab.StartProxy(b.programs, b.dir, b.provider, 3, map[string]any{"oauth": map[string]any{"token_store": b.store}})
	if err != nil {
		return err
	}
	defer proxy.Stop()
	if err := send(proxy.Addr); err != nil {
		return fmt.Errorf("the first message: %w", err)
	}
	b.first = append(b.first, milliseconds(start))
	if err := b.memory(proxy, &b.resident); err != nil {
		return err
	}
	for range b.Rounds {
		took, err := reload(proxy)
		if err != nil {
			return err
		}
		b.reload = append(b.reload, took)
	}
	return b.memory(proxy, &b.after)
}

// reload has the proxy reload and returns how many milliseconds it took.
func reload(proxy *lab.Proxy) (float64, error) {
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, err := os.Stat(proxy.Socket); err == nil {
			network, address = "unix", proxy.Socket
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}
	defer client.CloseIdleConnections()
	start := time.Now()
	resp, err := client.Post(proxy.Admin+"/admin/reload", "application/json", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("reload: %s %s %w", resp.Status, answer, err)
	}
	return milliseconds(start), nil
}

// send sends a message, in clear.
func send(addr string) error {
	login := smtp.PlainAuth("", "user@gmail.com", "placeholder", "127.0.0.1")
	return smtp.SendMail(addr, login, "from@example.com", []string{"to@example.com"}, []byte("Subject: first\r\n\r\nfirst\r\n"))
}

// memory adds the resident memory of the proxy in MB.
func (b *bench) memory(proxy *lab.Proxy, to *[]float64) error {
	n, err := lab.ResidentMemory(proxy.PID())
	*to = append(*to, float64(n)/1e6)
	return err
}

func milliseconds(since time.Time) float64 { return time.Since(since).Seconds() * 1e3 }

// fill puts a record for each account of the file into a token store.
func fill(store, accounts string) (err error) {
	kept, err := tokenstore.Open(tokenstore.Config{Path: store})
	if err != nil {
		return err
	}
	defer func() {
		if closed := kept.Close(); err == nil {
			err = closed
		}
	}()
	return saveAll(kept, accounts)
}
