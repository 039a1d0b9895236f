package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"xoauth2-proxy/perf/lab"
)

// soak is one run.
type soak struct {
	*Command
	stand   *stand
	started time.Time
	random  *rand.Rand
	pace    *time.Ticker // a message may be sent
	quiet   sync.RWMutex // read while a message is sent, written for an audit
	ledger  *ledger

	round, life time.Duration // lengths of a round and of a life of the proxy
	nextLife    time.Time
	lives       int
	samples     []sample // of this life

	total    verdict
	most     sample
	audits   int
	troubles map[string]int
	restLoad float64 // CPU time of the proxy in a second of a rest, at most
	failures []error
}

func newSoak(o *Command, s *stand) *soak {
	now := time.Now()
	r := &soak{Command: o, stand: s, started: now, random: rand.New(rand.NewPCG(o.Seed, 0)), pace: time.NewTicker(time.Second / time.Duration(o.Rate)),
		ledger: &ledger{run: "round-0"}, troubles: map[string]int{}}
	r.round = min(max(o.Duration/30, 5*time.Second), 5*time.Minute)
	r.life = min(max(o.Duration/3, 12*time.Second), 2*time.Hour)
	r.nextLife = now.Add(r.life)
	return r
}

// rounds runs until the time is over. Only what keeps it from going on ends it;
// failures are what the audits found.
func (r *soak) rounds(whole context.Context) {
	ctx, cancel := context.WithTimeout(whole, r.Duration)
	var working sync.WaitGroup
	defer r.pace.Stop()
	defer working.Wait()
	defer cancel()
	for i := range r.Clients {
		random := rand.New(rand.NewPCG(r.Seed, uint64(i+1)))
		working.Go(func() { r.work(ctx, random) })
	}
	line, nextRest := r.started, r.started.Add(r.spacing)
	for rested := 0; ctx.Err() == nil; {
		round, endRound := context.WithTimeout(ctx, r.round)
		r.upset(round, r.random)
		endRound()
		r.endRound()
		if rested < r.Rests && time.Now().After(nextRest) {
			rested++
			r.rest(whole)
			r.endRound()
			nextRest = time.Now().Add(r.spacing)
		}
		if time.Since(line) >= time.Minute || ctx.Err() != nil {
			line = time.Now()
			r.line()
		}
	}
	r.judge()
}

// endRound waits until all clients are quiet and the proxy has nothing under
// way, compares the ledgers and looks at what the proxy uses. The next round
// begins with a ledger of its own, and now and then with another sandbox.
func (r *soak) endRound() {
	r.quiet.Lock()
	defer r.quiet.Unlock()
	r.settle()
	v := r.audit()
	r.audits++
	r.total.add(v)
	if err := v.failure(); err != nil {
		r.failures = append(r.failures, fmt.Errorf("%s: %w", r.ledger.run, err))
	}
	r.sample()
	r.ledger = &ledger{run: fmt.Sprintf("round-%d", r.audits)}
	if r.audits%24 == 0 {
		r.tell("sandbox restarts", "")
		r.judge()
		r.stand.restartAll()
		return
	}
	lab.Call(http.MethodDelete, r.stand.Sandbox.API+"/messages", nil)
}

// settleTime is how long the proxy may take to come to rest: longer than any
// of its timeouts here.
const settleTime = 30 * time.Second

// settle waits until the proxy has no message under way, which nothing tells. Where
// Toxiproxy does not pass the end of a client's connection on, that is made up for.
func (r *soak) settle() {
	rests := func(m lab.Metrics) bool {
		return m["upstream_messages_in_flight"] == 0 && m["smtp_content_budget_used_bytes"] == 0 && m[`upstream_connections{state="active"}`] == 0
	}
	if r.await(settleTime, rests) {
		return
	}
	r.tell("network cut to come to rest", "")
	r.stand.network.Restart()
	r.poll("the proxy does not come to rest, with all clients quiet", rests)
}

// poll looks at the proxy's metrics until they are as wanted, or else fails with what
// complaint says.
func (r *soak) poll(complaint string, wanted func(lab.Metrics) bool) {
	if !r.await(settleTime, wanted) {
		m := r.stand.Metrics()
		lab.Failf("%s: %v in flight, %v octets of content, %v connections in use", complaint, m["upstream_messages_in_flight"],
			m["smtp_content_budget_used_bytes"], m[`upstream_connections{state="active"}`])
	}
}

// await looks at the proxy's metrics until they are as wanted, or for so long.
func (r *soak) await(long time.Duration, wanted func(lab.Metrics) bool) bool {
	for deadline := time.Now().Add(long); !wanted(r.stand.Metrics()); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// line prints the line of each minute.
func (r *soak) line() {
	f, last := r.total.fates, r.most
	if n := len(r.samples); n > 0 {
		last = r.samples[n-1]
	}
	fmt.Printf("%8s  accepted %d, deferred %d, refused %d, unknown %d; lost %d, twice %d; proxy %d MiB, %d goroutines, %d descriptors\n",
		time.Since(r.started).Round(time.Second), f[accepted], f[deferred], f[refused], f[unknown], r.total.counts[lost], r.total.counts[twice],
		last[0]>>20, last[1], last[2])
}
