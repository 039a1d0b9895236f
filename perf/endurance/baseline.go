package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// settle is how long the load of a baseline runs before it counts. There are no
// connections to the provider to wait for, so it need not be the warm-up's time.
const settle = 5 * time.Second

// direct runs the load to a sandbox of its own without the proxy, nil if that is
// not asked for. The loader does what it does with the proxy, so the sandbox
// takes it in clear and with passwords: TLS and tokens are a part of what the
// proxy adds. In all else it is the sandbox that is behind the proxy, with the
// proof that it keeps.
func (o *options) direct(b *lab.Bench) (*report.Report, error) {
	if o.Baseline <= 0 {
		return nil, nil
	}
	dir, err := b.Folder()
	if err != nil {
		return nil, err
	}
	sandbox, at, err := o.startInClear(b, dir)
	if err != nil {
		return nil, err
	}
	defer sandbox.Stop()
	load := func(length time.Duration) (*report.Report, error) {
		rep, err := lab.Load(b.Programs.Loadgen, append([]string{"--target", at, "--sandbox", sandbox.API,
			"--accounts-file", sandbox.Accounts}, o.load(length)...)...)
		if err == nil && rep.Failing() {
			err = errors.New("messages failed in the baseline, or its proof did")
		}
		return rep, err
	}
	if o.WarmUp > 0 {
		if _, err := load(min(o.WarmUp, settle)); err != nil {
			return nil, err
		}
	}
	return load(o.Baseline)
}

// startInClear starts a sandbox that takes clients without TLS and tokens at an
// address.
func (o *options) startInClear(b *lab.Bench, dir string) (sandbox *lab.Provider, at string, err error) {
	port, err := lab.FreePort()
	if err != nil {
		return nil, "", err
	}
	at = fmt.Sprintf("127.0.0.1:%d", port)
	list := make([]map[string]string, o.Accounts)
	for i := range list {
		list[i] = map[string]string{"email": fmt.Sprintf("user%d@gmail.com", i+1), "endpoint": "clear"}
	}
	config := filepath.Join(dir, "sandbox.json")
	err = lab.WriteJSON(config, map[string]any{
		"endpoints": []map[string]any{{"name": "clear", "preset": "gmail", "in_clear": true, "starttls": at, "tls": "-"}},
		"accounts":  list, "limits": "off", "store": map[string]string{"mode": "count"},
	})
	if err != nil {
		return nil, "", err
	}
	sandbox, err = lab.StartSandboxWith(b.Programs, dir, "--config", config, "--latency", o.Pace.String())
	return sandbox, at, err
}

// added renders the latency with the proxy, without it, and the difference.
func (o *options) added(rep, before, after *report.Report) *lab.Table {
	t := &lab.Table{Title: fmt.Sprintf("What the proxy adds: the same load to such a provider without it, in clear, for %v before and behind", o.Baseline),
		Header: []string{"", "msg/s", "P50 ms", "P95 ms", "P99 ms"}}
	row := func(name string, reports ...*report.Report) lab.Figures {
		f := lab.Summarize(reports)
		t.Add(name, lab.Number(f.Rate), lab.Number(f.P50), lab.Number(f.P95), lab.Number(f.P99))
		return f
	}
	with := row("through the proxy", rep)
	row("without it, before", before)
	row("without it, behind", after)
	without := row("without it, mean of both", before, after)
	t.Add("added by the proxy; the bar is a P95 of 2 ms", "-",
		lab.Number(with.P50-without.P50), lab.Number(with.P95-without.P95), lab.Number(with.P99-without.P99))
	return t
}
