// Package accounts measures what many accounts cost: the time from the start of the
// proxy to its first delivered message, its resident memory, and how long a
// reload takes, with an empty and with a filled token store; what a reload uses
// up; and what it does to the sessions that go on meanwhile.
package accounts

import (
	"fmt"
	"net/smtp"
	"path/filepath"
	"strings"
	"time"

	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Common
	Accounts int    `default:"10000" help:"Accounts."`
	Rounds   int    `default:"5" help:"Starts, and reloads of each; the figures are medians."`
	Rate     int    `default:"300" help:"Messages a second during the reloads whose stalls are measured."`
	Only     string `enum:"all,starts,reloads,stalls" default:"all" help:"Measure only the starts, the reloads of an idle proxy, or the stalls."`
}

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	m := &measurement{o, b, b.StartSandbox(lab.Sandbox{Accounts: o.Accounts})}
	var tables []*lab.Table
	for _, part := range []struct {
		name    string
		measure func() *lab.Table
	}{{"starts", m.starts}, {"reloads", m.reloads}, {"stalls", m.stalls}} {
		if o.Only == "all" || o.Only == part.name {
			tables = append(tables, part.measure())
		}
	}
	o.Write(o.Rounds, tables...)
}

// A measurement starts proxies towards one sandbox.
type measurement struct {
	*Command
	bench    *lab.Bench
	provider *lab.Provider
}

// start starts a proxy with that token store, "" for none.
func (m *measurement) start(store string) *lab.Proxy {
	return m.bench.StartProxy(m.provider, lab.Setup{Connections: 3, Sections: map[string]any{"oauth": map[string]any{"token_store": store}}})
}

// starts measures starts of the proxy, and reloads without a load.
func (m *measurement) starts() *lab.Table {
	t := &lab.Table{Title: fmt.Sprintf("%d accounts", m.Accounts),
		Header: []string{"token store", "start to first message (ms)", "resident (MB)", "reload (ms)", "resident after reloads (MB)"}}
	filled := filepath.Join(m.bench.Folder(), "tokens.db")
	lab.Check(fill(filled, m.provider.Accounts))
	for _, tt := range []struct{ name, store string }{{"none", ""}, {"one record for each account", filled}} {
		var first, resident, reload, after []float64
		for range m.Rounds {
			start := time.Now()
			proxy := m.start(tt.store)
			login := smtp.PlainAuth("", "user@gmail.com", "placeholder", "127.0.0.1")
			lab.Check(smtp.SendMail(proxy.Addr, login, "from@example.com", []string{"to@example.com"}, []byte("Subject: first\r\n\r\nfirst\r\n")))
			first = append(first, lab.Milliseconds(start))
			resident = append(resident, proxy.Resident()/1e6)
			for range m.Rounds {
				reload = append(reload, proxy.Reload())
			}
			after = append(after, proxy.Resident()/1e6)
			proxy.Stop()
		}
		t.Add(tt.name, lab.Median(first), lab.Median(resident), lab.Median(reload), lab.Median(after))
	}
	return t
}

// changedOf is one in how many accounts change for a reload of changed ones.
const changedOf = 10

// A kind is a kind of reload.
type kind struct {
	name           string
	reload, change bool // change: some accounts have another identity than before
}

var (
	nothingChanged = kind{"nothing changed", true, false}
	someChanged    = kind{fmt.Sprintf("one account in %d changed", changedOf), true, true}
)

// reloads measures what a reload costs a proxy that has nothing else to do.
func (m *measurement) reloads() *lab.Table {
	proxy := m.start("")
	defer proxy.Stop()
	t := &lab.Table{Title: fmt.Sprintf("%d accounts, a reload, means of %d", m.Accounts, m.Rounds),
		Header: []string{"", "reload (ms)", "CPU (ms)", "allocated (MB)", "collections"}}
	n := float64(m.Rounds)
	for _, k := range []kind{nothingChanged, someChanged} {
		before, took := proxy.Metrics(), 0.0
		for range m.Rounds {
			m.prepare(k)
			took += proxy.Reload()
		}
		after := proxy.Metrics()
		spent := func(name string) float64 { return (after.Of(name) - before.Of(name)) / n }
		t.Add(k.name, took/n, spent("process_cpu_seconds_total")*1e3, spent("go_memstats_alloc_bytes_total")/1e6, spent("go_gc_duration_seconds_count"))
	}
	return t
}

// prepare writes the accounts with the other spelling of the identity of some, if the
// kind wants a change, which takes new connections for them.
func (m *measurement) prepare(k kind) {
	if !k.change {
		return
	}
	list := lab.ReadAccounts(m.provider.Accounts)
	for i := 0; i < len(list); i += changedOf {
		email, _ := list[i]["email"].(string)
		if list[i]["auth_identity"] != strings.ToUpper(email) {
			email = strings.ToUpper(email)
		}
		list[i]["auth_identity"] = email
	}
	lab.WriteAccounts(m.provider.Accounts, list)
}
