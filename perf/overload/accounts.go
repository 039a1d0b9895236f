package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"xoauth2-proxy/perf/lab"
)

// perAccount is the number of connections that Microsoft 365 allows a mailbox.
const perAccount = 3

// measure runs "overload accounts".
func (c *accountsCmd) measure(b *lab.Bench) (*lab.Table, error) {
	s, err := start(b, shape{c.Accounts, perAccount, c.Pace, "on", 100_000})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	bare, err := s.resident()
	if err != nil {
		return nil, err
	}
	bareHeap, err := s.heap()
	if err != nil {
		return nil, err
	}
	total := c.Accounts * perAccount
	w := &loginWatch{stand: s, want: float64(total)}
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() { w.run(stop) })
	rep, err := s.load(b, "--sandbox", s.sandbox.API,
		"-c", fmt.Sprint(total), "-m", "0", "--messages", fmt.Sprint(total*c.Messages), "--size", "10k")
	close(stop)
	watching.Wait()
	if err != nil {
		return nil, err
	}
	parked, err := s.Metric(`upstream_connections{state="parked"}`)
	if err != nil {
		return nil, err
	}
	full, err := s.resident()
	if err != nil {
		return nil, err
	}
	fullHeap, err := s.heap()
	if err != nil {
		return nil, err
	}
	text, err := lab.Get(s.sandbox.API + "/accounts")
	if err != nil {
		return nil, err
	}
	var list []struct {
		MaxOpen       int   `json:"max_open"`
		LimitRefusals int64 `json:"limit_refusals"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	most, refusals := 0, int64(0)
	for _, a := range list {
		most, refusals = max(most, a.MaxOpen), refusals+a.LimitRefusals
	}
	t := &lab.Table{Title: fmt.Sprintf("%d accounts with %d connections each", c.Accounts, perAccount), Header: []string{"what", "value"}}
	t.Add("messages accepted, refused, neither", fmt.Sprintf("%d, %d, %d", rep.Total.Accepted, rep.Total.Refused,
		rep.Total.Broken+rep.Total.Unknown+rep.Total.Unsent))
	for _, r := range rep.Replies {
		t.Add(fmt.Sprintf("answered %d at %s", r.Code, r.Phase), fmt.Sprintf("%d: %s", r.Count, r.Sample))
	}
	t.Add("messages a second", lab.Number(rep.Total.Rate))
	t.Add("logins at the provider", fmt.Sprintf("%.0f", w.logins))
	t.Add("logins a minute", lab.Number(w.perMinute()))
	t.Add("parked connections at the end", fmt.Sprintf("%.0f", parked))
	t.Add("memory without any and with these, MiB", fmt.Sprintf("%.0f, %.0f", bare/(1<<20), full/(1<<20)))
	if parked > 0 {
		t.Add("memory for each parked connection, KiB", lab.Number((full-bare)/parked/1024))
		t.Add("of it live on the heap, KiB", lab.Number((fullHeap-bareHeap)/parked/1024))
	}
	t.Add("most connections of an account, by the sandbox", fmt.Sprint(most))
	t.Add("limit refusals by the sandbox", fmt.Sprint(refusals))
	t.Add("proof of delivery holds", fmt.Sprint(rep.Proof != nil && rep.Proof.Holds))
	return t, nil
}

// loginWatch measures how fast the proxy logs in.
type loginWatch struct {
	stand       *stand
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
		n, err := w.stand.Metric(`upstream_auth_total{result="success"}`)
		if err != nil || n == w.logins {
			continue // a look that failed is one that was not made
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
