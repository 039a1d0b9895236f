// Package accounting proves the accounting log: a run with faults sums up in it to exactly what
// the clients were told and what the sandbox counted, for each recipient and account, and after
// each SIGKILL exactly as much is missing as the next start says:
//
//	go run ./perf accounting --messages 500000
//
// Clients send messages of one to four recipients; the sandbox refuses recipients and contents,
// for now and for good, throttles, and loses connections, before and after it has taken a
// message. Several times all clients wait for their last reply, and the proxy is killed at once:
// what it had not written is lost. The log is written as CSV and as JSON, and renamed and packed
// while it is written; both must say the same.
//
//	accounting.go  the command line, the run, and the table at the end
//	client.go      one SMTP client
//	ledger.go      what the clients were told, against the log and the provider
//
// Exit codes: 0 all agree; 1 they do not, or a process failed; 2 usage error.
package accounting

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/perf/lab"
)

// Command is the command line.
type Command struct {
	lab.Built
	Messages int    `default:"5000" help:"Messages to send."`
	Clients  int    `default:"24" help:"Connections that send at one time."`
	Accounts int    `default:"12" help:"Accounts of the proxy."`
	Kills    int    `default:"3" help:"How often the proxy is killed."`
	Seed     uint64 `help:"Seed of all that is random; 0 takes one from the clock."`
}

// AfterApply completes the options.
func (o *Command) AfterApply() error {
	if o.Messages < o.Clients || o.Clients < 1 || o.Accounts < 1 || o.Kills < 0 {
		return errors.New("a number is too small")
	}
	if o.Seed == 0 {
		o.Seed = uint64(time.Now().UnixNano())
	}
	return nil
}

// faults are what the sandbox does wrong, all the time. The replies say nothing that pauses an
// account for long.
var faults = []sandbox.Rule{
	{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user", Every: 13},
	{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "452 4.2.2 mailbox full", Every: 17},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "554 5.6.0 cannot take this", Every: 19},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "452 4.2.2 mailbox full", Every: 23},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose, Every: 101},
	{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionCut, Accept: true, Every: 103},
	{Phase: sandbox.PhaseMidContent, Action: sandbox.ActionReset, Every: 107},
	{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "421 4.3.2 not now", Every: 499},
	{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "451 4.7.0 slower", Every: 997, Times: 5},
	{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "550 5.7.1 this sender may not", Every: 211},
}

// run is one run.
type run struct {
	*Command
	stand  *lab.Stand
	logs   string // directory of the accounting log
	logins []string
	ledger *ledger
}

// name is that of the run at the sandbox.
const name = "accounting"

// Run runs the command.
func (o *Command) Run() error { return o.Bench(o.measure) }

func (o *Command) measure(b *lab.Bench) {
	fmt.Printf("accounting: %d messages with seed %d\n", o.Messages, o.Seed)
	r := &run{Command: o, logs: filepath.Join(b.Folder(), "accounting"), ledger: newLedger(o.Messages)}
	for i := range o.Accounts {
		r.logins = append(r.logins, lab.Login(i))
	}
	r.stand = b.NewStand(lab.Sandbox{Accounts: o.Accounts, Preset: "gmail"}, lab.Setup{Connections: 5, Sections: map[string]any{
		"accounting": map[string]any{"directory": r.logs, "rotate_size": "1MiB", "min_free": 0, "files": []any{
			map[string]any{"name": "accounting.csv"}, map[string]any{"name": "lines.json", "format": "json"}}},
		"log": map[string]any{"level": "error"},
	}})
	lab.Call(http.MethodPost, r.stand.Sandbox.API+"/faults", faults)
	started := time.Now()
	for part := range o.Kills + 1 {
		r.send(part*o.Messages/(o.Kills+1), (part+1)*o.Messages/(o.Kills+1))
		if part < o.Kills { // all replies have been read
			r.stand.Signal(syscall.SIGKILL)
			r.stand.Restart()
		}
	}
	var has sandbox.LoadStats
	lab.Check(json.Unmarshal(lab.Get(r.stand.Sandbox.API+"/loads/"+name), &has))
	r.stand.Proxy.Stop()
	t := &lab.Table{Title: fmt.Sprintf("Accounting, %v", time.Since(started).Round(time.Second)), Header: []string{"what", "CSV", "JSON"}}
	csv, json := r.ledger.compare(has, filepath.Join(r.logs, "accounting*.csv*")), r.ledger.compare(has, filepath.Join(r.logs, "lines*.json*"))
	for i, row := range csv.rows() {
		t.Add(row.what, row.count, json.rows()[i].count)
	}
	fmt.Print(t)
	lab.Check(errors.Join(csv.failure("CSV"), json.failure("JSON")))
}

// send sends the messages from one number to before another one, and returns when the clients have
// all replies.
func (r *run) send(from, to int) {
	var next atomic.Int64
	next.Store(int64(from))
	var working sync.WaitGroup
	for i := range r.Clients {
		random := rand.New(rand.NewPCG(r.Seed, uint64(from+i)))
		working.Go(func() {
			var c client
			defer c.end()
			for n := int(next.Add(1) - 1); n < to; n = int(next.Add(1) - 1) {
				r.message(&c, n, random)
			}
		})
	}
	working.Wait()
}
