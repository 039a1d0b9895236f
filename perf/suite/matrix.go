package suite

import (
	"fmt"
	"strconv"
	"time"

	"xoauth2-proxy/loadgen/report"
	"xoauth2-proxy/perf/lab"
)

// A standKey says what a sandbox and the proxy in front of it are like.
type standKey struct {
	latency  time.Duration // of the sandbox's reply to the end of a message
	accounts int
}

// A cell is one load on one stand.
type cell struct {
	standKey
	connections int
	perConn     int
	size        string
	perSecond   int // open loop at this rate; 0: closed loop
}

// mostConnections is the most that a cell has.
const mostConnections = 500

// allCells returns the whole matrix: in a closed loop what the proxy can do for
// each kind of client, and in an open loop at the headline's rate what it adds
// to the latency of providers at a distance.
func allCells() []cell {
	var cells []cell
	for _, connections := range []int{1, 10, 100, mostConnections} {
		for _, perConn := range []int{1, 20} {
			for _, size := range []string{"1k", "10k", "100k"} {
				cells = append(cells, cell{standKey{0, 50}, connections, perConn, size, 0})
			}
		}
	}
	for _, latency := range []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond} {
		for _, accounts := range []int{1, 50, 2000} {
			cells = append(cells, cell{standKey{latency, accounts}, 200, 20, "10k", 833})
		}
	}
	return cells
}

// quick says whether the cell is one of the few of --quick.
func (c cell) quick() bool {
	return c.perSecond == 0 && c.connections == 100 && c.size == "10k" ||
		c.perSecond > 0 && c.accounts == 50 && c.latency != 20*time.Millisecond
}

// selectCells returns the cells that the command line asks for.
func selectCells(o *Command) []cell {
	var cells []cell
	for _, c := range allCells() {
		if (!o.Quick.Quick || c.quick()) && (o.Only == nil || o.Only.MatchString(c.name())) {
			cells = append(cells, c)
		}
	}
	return cells
}

// name names the cell, as key=value.
func (c cell) name() string {
	load := "closed"
	if c.perSecond > 0 {
		load = strconv.Itoa(c.perSecond) + "/s"
	}
	return fmt.Sprintf("load=%s conn=%d msgs=%d size=%s latency=%v accounts=%d", load, c.connections, c.perConn, c.size, c.latency, c.accounts)
}

// args are the load generator's flags for the cell.
func (c cell) args(length time.Duration) []string {
	args := []string{"--profile", "bench", "--size", c.size, "--connections", strconv.Itoa(c.connections),
		"--messages-per-connection", strconv.Itoa(c.perConn), "--duration", length.String()}
	if c.perSecond > 0 {
		args = append(args, "--rate", fmt.Sprintf("%d/s", c.perSecond))
	}
	return args
}

// tables renders the results, and counts the cells with something wrong in bad.
func tables(cells []cell, runs map[cell][]*report.Report, bad *int) []*lab.Table {
	closed := &lab.Table{Title: "Closed loop, 50 accounts, a provider that answers at once",
		Header: []string{"connections", "messages each", "size", "msg/s", "CPU us/msg", "P50 ms", "P95 ms", "P99 ms", "msg/CPU-s", "RSS MB", "failed", "proof"}}
	open := &lab.Table{Title: "Open loop, 833 messages a second of 10 KB, 200 connections, after a run to warm up",
		Header: []string{"provider latency", "accounts", "msg/s", "CPU us/msg", "P50 ms", "P95 ms", "P99 ms", "added P95 ms", "RSS MB", "failed", "proof"}}
	for _, c := range cells {
		f := lab.Summarize(runs[c])
		proof := "holds"
		if f.Unproven > 0 {
			proof = "FAILS"
		}
		if f.Unproven > 0 || f.Failed > 0 {
			*bad++
		}
		figures := func(more ...any) []any { return append([]any{f.Rate, f.CPU, f.P50, f.P95, f.P99}, more...) }
		if c.perSecond == 0 {
			closed.Add(append([]any{c.connections, c.perConn, c.size}, figures(1e6/f.CPU, f.Resident, f.Failed, proof)...)...)
			continue
		}
		added := f.P95 - float64(c.latency)/float64(time.Millisecond)
		open.Add(append([]any{c.latency, c.accounts}, figures(added, f.Resident, f.Failed, proof)...)...)
	}
	var filled []*lab.Table
	for _, t := range []*lab.Table{closed, open} {
		if len(t.Rows) > 0 {
			filled = append(filled, t)
		}
	}
	return filled
}
