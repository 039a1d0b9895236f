package watchdog

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/metric"
)

// Config has the time limits.
type Config struct {
	// Patience is how long a part may be at one piece of work. Default: 5 s.
	Patience time.Duration
	// Withhold is how long a part may be stuck before Alive says no. Default: 60 s.
	Withhold time.Duration
}

// DefaultConfig returns the defaults given at each field.
func DefaultConfig() Config { return Config{Patience: 5 * time.Second, Withhold: time.Minute} }

// looks is how often the checker looks at a part within Config.Patience.
const looks = 20

// Watchdog looks at parts. Its methods are safe for concurrent use; a nil Watchdog has no
// parts.
type Watchdog struct {
	cfg     Config
	log     *zap.Logger
	started time.Time
	looked  atomic.Int64 // when the checker last looked: time since started
	events  [numKinds]*metrics.Counter

	quit chan struct{}
	done sync.WaitGroup

	mu    sync.Mutex // guards parts and what the checker notes of them; a leaf
	parts []*Part
}

// New starts a watchdog; Close ends it. It puts its metrics into set, which must not have
// them yet.
func New(cfg Config, log *zap.Logger, set *metrics.Set) *Watchdog {
	d := &Watchdog{cfg: cfg, log: log, started: time.Now(), quit: make(chan struct{})}
	const kinds = "part: loop, shard, token_worker, quota_store, token_store, order_store, accounting_writer"
	events := metric.New(set, "watchdog_stuck_total", "Times that a part of the process was found stuck, by part.", kinds).
		Do("The log has the stack of the part: report it. A disk that hangs sticks the stores.")
	stuck := metric.New(set, "watchdog_stuck_parts", "Parts of the process that are stuck now.", kinds).
		Do("/health names them. If they do not come back, restart the proxy; the log has their stacks.")
	for k := range numKinds {
		label := strings.ReplaceAll(k.String(), " ", "_")
		d.events[k] = events.Counter(label)
		stuck.Gauge(func() float64 { return float64(d.count(k)) }, label)
	}
	d.done.Go(d.watch)
	return d
}

// Close ends the checker. Nothing is found stuck from then on.
func (d *Watchdog) Close() {
	close(d.quit)
	d.done.Wait()
}

// Add makes an idle part. Part.Remove ends it.
func (d *Watchdog) Add(t Task) *Part {
	if d == nil {
		return nil
	}
	p := &Part{dog: d, task: t, name: nameOf(t)}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.parts = append(d.parts, p)
	return p
}

// Begin makes a part for one piece of work. Part.Remove ends it.
func (d *Watchdog) Begin(t Task) *Part {
	p := d.Add(t)
	p.Begin()
	return p
}

func (d *Watchdog) remove(p *Part) {
	d.mu.Lock()
	if i := slices.Index(d.parts, p); i >= 0 {
		d.parts = slices.Delete(d.parts, i, i+1)
	}
	freed := d.free(p)
	d.mu.Unlock()
	d.goesOn(freed)
}

// Stuck names the parts that are stuck and that mail needs, each with for how long; nil if
// none is.
func (d *Watchdog) Stuck() (names []string) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	longest := make(map[string]time.Duration) // the operations of a store share a name
	for _, p := range d.parts {
		if p.stuck.Load() && !p.task.Aside {
			longest[p.name] = max(longest[p.name], p.busy)
		}
	}
	for name, busy := range longest {
		names = append(names, fmt.Sprintf("%s has been stuck for %v", name, busy.Truncate(time.Second)))
	}
	slices.Sort(names)
	return names
}

// Alive reports whether a restart would not help: no part has been stuck for
// Config.Withhold, and the checker is at work.
func (d *Watchdog) Alive() bool {
	if time.Since(d.started)-time.Duration(d.looked.Load()) >= d.cfg.Withhold {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return !slices.ContainsFunc(d.parts, func(p *Part) bool {
		return p.stuck.Load() && !p.task.Aside && p.busy-p.task.Beyond >= d.cfg.Withhold
	})
}

// count is how many parts of a kind are stuck.
func (d *Watchdog) count(k Kind) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.parts {
		if p.task.Kind == k && p.stuck.Load() {
			n++
		}
	}
	return n
}

// watch looks at all parts until Close.
func (d *Watchdog) watch() {
	interval := d.cfg.Patience / looks
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-d.quit:
			return
		case <-tick.C:
		}
		now := time.Now()
		// Longer than that, the checker did not run: nor may the parts have.
		d.check(min(now.Sub(last), 2*interval))
		d.looked.Store(int64(now.Sub(d.started)))
		last = now
	}
}

// check looks at all parts, step after the last time.
func (d *Watchdog) check(step time.Duration) {
	var caught, freed []report
	d.mu.Lock()
	for _, p := range d.parts {
		switch stuck := p.look(step, d.cfg.Patience); {
		case stuck && !p.stuck.Load():
			caught = append(caught, report{p.task, p.name, p.busy, d.named(p.name)})
			p.stuck.Store(true)
		case !stuck:
			freed = append(freed, d.free(p)...)
		}
	}
	d.mu.Unlock()
	d.caught(caught)
	d.goesOn(freed)
}

// free marks p as not stuck. Called with mu.
func (d *Watchdog) free(p *Part) []report {
	if !p.stuck.Swap(false) || d.named(p.name) {
		return nil
	}
	return []report{{task: p.task, name: p.name}}
}

// named reports whether a part of that name is stuck. Called with mu.
func (d *Watchdog) named(name string) bool {
	return slices.ContainsFunc(d.parts, func(p *Part) bool { return p.name == name && p.stuck.Load() })
}

// report is the content of one log line about a part.
type report struct {
	task Task
	name string
	busy time.Duration
	told bool // another part of that name was stuck before
}

// caught logs parts that are stuck now.
func (d *Watchdog) caught(reports []report) {
	for _, r := range reports {
		if r.task.Stuck != nil {
			d.done.Go(r.task.Stuck)
		}
		if r.told {
			continue
		}
		d.events[r.task.Kind].Inc()
		d.log.Error("a part of the process is stuck", zap.String("part", r.name), zap.Duration("busy", r.busy),
			zap.String("stack", stackOf(r.task)))
	}
}

// goesOn logs parts that have come back.
func (d *Watchdog) goesOn(reports []report) {
	for _, r := range reports {
		d.log.Info("a part of the process that was stuck goes on", zap.String("part", r.name))
	}
}
