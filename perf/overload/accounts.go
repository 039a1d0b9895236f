package overload

import (
	"encoding/json"
	"fmt"
	"time"

	"xoauth2-proxy/perf/lab"
)

// perAccount is the number of connections that Microsoft 365 allows a mailbox.
const perAccount = 3

// measure measures "overload accounts".
func (c *accountsCmd) measure(b *lab.Bench) *lab.Table {
	s := start(b, lab.Sandbox{Accounts: c.Accounts, Latency: c.Pace, Connections: perAccount}, perAccount, 100_000)
	bare, bareHeap := s.Resident(), heap(s)
	total := c.Accounts * perAccount
	w := &loginWatch{stand: s, want: float64(total)}
	stop := make(chan struct{})
	watched := lab.Go(func() { w.run(stop) })
	rep := s.Load("-c", fmt.Sprint(total), "-m", "0", "--messages", fmt.Sprint(total*c.Messages), "--size", "10k")
	close(stop)
	watched()
	parked, full, fullHeap := s.Metrics().Of(`upstream_connections{state="parked"}`), s.Resident(), heap(s)
	var list []struct {
		MaxOpen       int   `json:"max_open"`
		LimitRefusals int64 `json:"limit_refusals"`
	}
	lab.Check(json.Unmarshal(lab.Get(s.Sandbox.API+"/accounts"), &list))
	most, refusals := 0, int64(0)
	for _, a := range list {
		most, refusals = max(most, a.MaxOpen), refusals+a.LimitRefusals
	}
	t := &lab.Table{Title: fmt.Sprintf("%d accounts with %d connections each", c.Accounts, perAccount), Header: []string{"what", "value"}}
	outcome(t, rep)
	t.Add("messages a second", rep.Total.Rate)
	t.Add("logins at the provider", fmt.Sprintf("%.0f", w.logins))
	t.Add("logins a minute", w.perMinute())
	t.Add("parked connections at the end", fmt.Sprintf("%.0f", parked))
	t.Add("memory without any and with these, MiB", lab.List(bare/(1<<20), full/(1<<20)))
	if parked > 0 {
		t.Add("memory for each parked connection, KiB", (full-bare)/parked/1024)
		t.Add("of it live on the heap, KiB", (fullHeap-bareHeap)/parked/1024)
	}
	t.Add("most connections of an account, by the sandbox", most)
	t.Add("limit refusals by the sandbox", refusals)
	return t
}

// heap returns the live octets of the proxy's heap, right after a collection.
func heap(s *lab.Stand) float64 {
	s.Profile("heap?gc=1")
	return s.Metrics().Of("go_memstats_heap_alloc_bytes")
}

// loginWatch measures how fast the proxy logs in.
type loginWatch struct {
	stand       *lab.Stand
	want        float64 // logins to watch
	logins      float64
	before      float64 // logins up to first
	first, last time.Time
}

// run looks at the count of logins until all are done or stop is closed.
func (w *loginWatch) run(stop <-chan struct{}) {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for w.logins < w.want {
		select {
		case <-stop:
			return
		case <-t.C:
		}
		n := w.stand.Metrics()[`upstream_auth_total{result="success"}`]
		if n == w.logins {
			continue
		}
		w.last = time.Now()
		if w.first.IsZero() {
			w.first, w.before = w.last, n
		}
		w.logins = n
	}
}

func (w *loginWatch) perMinute() float64 {
	if took := w.last.Sub(w.first); took > 0 {
		return (w.logins - w.before) / took.Minutes()
	}
	return 0
}
