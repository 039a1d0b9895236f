package watchdog

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/testkit"
)

// fixture is a watchdog in a bubble.
type fixture struct {
	*Watchdog
	t    *testing.T
	set  *metrics.Set
	logs *observer.ObservedLogs
}

func inBubble(t *testing.T, f func(*fixture)) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		x := &fixture{t: t, set: metrics.NewSet(), logs: logs}
		x.Watchdog = New(DefaultConfig(), zap.New(core), x.set)
		defer x.Close()
		f(x)
	})
}

// after lets time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// want checks what is told of the parts: their names, as far as Stuck says them, and
// how many lines there are of parts that are stuck, and of those that go on.
func (f *fixture) want(stuck, caught, freed int, names ...string) {
	f.t.Helper()
	got := f.Stuck()
	if len(got) != stuck {
		f.t.Errorf("stuck: %q, want %d", got, stuck)
	}
	for i, name := range names {
		if !strings.HasPrefix(got[i], name) {
			f.t.Errorf("stuck: %q, want %q", got, names)
		}
	}
	if n := f.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != caught {
		f.t.Errorf("%d lines of parts that are stuck, want %d", n, caught)
	}
	if n := f.logs.FilterLevelExact(zapcore.InfoLevel).Len(); n != freed {
		f.t.Errorf("%d lines of parts that go on, want %d", n, freed)
	}
}

func (f *fixture) metric(name string) float64 {
	return testkit.Metric(f.t, f.set.WritePrometheus, name)
}

// TestIdleIsNotStuck: parts that wait for work, and parts that do much of it, are not
// stuck, whatever the time.
func TestIdleIsNotStuck(t *testing.T) {
	inBubble(t, func(f *fixture) {
		idle, busy := f.Add(Task{Kind: Loop}), f.Add(Task{Kind: Shard})
		idle.Begin()
		idle.End()
		busy.Begin()
		for range 100 {
			after(4 * time.Second)
			busy.Next()
		}
		busy.End()
		after(time.Hour)
		f.want(0, 0, 0)
		if !f.Alive() {
			t.Error("not alive")
		}
	})
}

// TestStuckAndBack has each kind of part be stuck and come back, twice.
func TestStuckAndBack(t *testing.T) {
	for _, tt := range []struct {
		task  Task
		name  string
		label string
	}{
		{Task{Kind: Loop, Number: 0}, "loop 0", "loop"},
		{Task{Kind: Shard, Number: 3}, "shard 3", "shard"},
		{Task{Kind: TokenWorker, Number: 2, Beyond: 10 * time.Second}, "token worker 2", "token_worker"},
		{Task{Kind: QuotaStore}, "quota store", "quota_store"},
		{Task{Kind: TokenStore}, "token store", "token_store"},
		{Task{Kind: OrderStore}, "order store", "order_store"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(f *fixture) {
				told := make(chan struct{}, 2)
				tt.task.Stuck = func() { told <- struct{}{} }
				p := f.Add(tt.task)
				f.Add(Task{Kind: tt.task.Kind, Number: 9}) // the others are fine
				gauge, counter := `watchdog_stuck_parts{part="`+tt.label+`"}`, `watchdog_stuck_total{part="`+tt.label+`"}`
				for round := range 2 {
					p.Begin()
					after(tt.task.Beyond + 4900*time.Millisecond)
					f.want(0, round, round)
					after(time.Second)
					f.want(1, round+1, round, tt.name+" has been stuck for ")
					<-told
					if !p.Stuck() || f.metric(gauge) != 1 || f.metric(counter) != float64(1+round) {
						t.Errorf("stuck: %t, gauge %v, counter %v", p.Stuck(), f.metric(gauge), f.metric(counter))
					}
					after(50 * time.Second)
					if !f.Alive() {
						t.Error("not alive before a minute")
					}
					after(11 * time.Second)
					if f.Alive() {
						t.Error("alive after a minute")
					}
					p.End()
					after(time.Second)
					f.want(0, round+1, round+1)
					if p.Stuck() || f.metric(gauge) != 0 || !f.Alive() {
						t.Errorf("recovered: stuck %t, gauge %v, alive %t", p.Stuck(), f.metric(gauge), f.Alive())
					}
				}
				if len(told) > 0 {
					t.Error("told more than once a time")
				}
			})
		})
	}
}

// TestAside: a part that mail does not need is logged and counted when it is stuck, and the
// process is well.
func TestAside(t *testing.T) {
	inBubble(t, func(f *fixture) {
		p := f.Add(Task{Kind: AccountingWriter, Aside: true})
		p.Begin()
		after(2 * time.Minute)
		f.want(0, 1, 0)
		if !p.Stuck() || !f.Alive() || f.metric(`watchdog_stuck_parts{part="accounting_writer"}`) != 1 {
			t.Errorf("stuck %t, alive %t", p.Stuck(), f.Alive())
		}
		p.End()
		after(time.Second)
		f.want(0, 1, 1)
	})
}

// TestOperationsShareAName: many operations of one store that hang together are one
// line, one count and one name, until the last one has come back.
func TestOperationsShareAName(t *testing.T) {
	inBubble(t, func(f *fixture) {
		one := f.Begin(Task{Kind: TokenStore})
		after(3 * time.Second)
		two := f.Begin(Task{Kind: TokenStore})
		after(10 * time.Second)
		f.want(1, 1, 0, "token store has been stuck for 1")
		one.Remove()
		f.want(1, 1, 0, "token store")
		two.Remove()
		f.want(0, 1, 1)
	})
}

// TestSuspendedProcess: a process that gets no CPU time for long finds no part stuck
// for that alone.
func TestSuspendedProcess(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	d := &Watchdog{cfg: DefaultConfig(), log: zap.New(core)}
	p := d.Begin(Task{Kind: Loop})
	interval := d.cfg.Patience / looks
	for range 2 { // as watch does when it gets to look once a minute
		d.check(min(time.Minute, 2*interval))
	}
	if p.Stuck() || logs.Len() > 0 {
		t.Errorf("stuck: %q", d.Stuck())
	}
}

// TestNil: code without a watchdog runs as with one.
func TestNil(t *testing.T) {
	var d *Watchdog
	p := d.Begin(Task{Kind: Shard})
	p.Next()
	p.End()
	p.Remove()
	if p.Stuck() || d.Stuck() != nil {
		t.Error("stuck")
	}
}

// hanger is something that hangs.
type hanger struct{ _ int } // not empty, so that two have two addresses

//go:noinline
func (h *hanger) hang(password string, begun chan<- struct{}, until <-chan struct{}) {
	begun <- struct{}{}
	<-until
	runtime.KeepAlive(h)
	runtime.KeepAlive(password)
}

// TestStack: the line has the stack of the part's goroutine and of no other, without
// arguments.
func TestStack(t *testing.T) {
	ours, other := new(hanger), new(hanger)
	begun, until := make(chan struct{}), make(chan struct{})
	defer close(until)
	ended := make(chan struct{}, 2)
	for _, h := range []*hanger{ours, other} {
		go func() { h.hang("s3cret", begun, until); ended <- struct{}{} }()
		<-begun
	}
	const fn = "watchdog.(*hanger).hang"
	one := stackOf(Task{Func: fn, On: ours})
	if n := strings.Count(one, fn+"(...)"); n != 1 || strings.Contains(one, "0x") && strings.Contains(one, "(0x") {
		t.Errorf("%d goroutines in\n%s", n, one)
	}
	if both := stackOf(Task{Func: fn}); strings.Count(both, fn+"(...)") != 2 {
		t.Errorf("not both goroutines in\n%s", both)
	}
	if all := stackOf(Task{Func: "no.such"}); !strings.Contains(all, "TestStack(...)") || len(all) > maxStack {
		t.Errorf("%d octets, not all goroutines in\n%s", len(all), all)
	}
}

// TestNoAllocation: what parts do at work costs no memory.
func TestNoAllocation(t *testing.T) {
	d := New(DefaultConfig(), zap.NewNop(), metrics.NewSet())
	defer d.Close()
	p := d.Add(Task{Kind: Shard})
	if n := testing.AllocsPerRun(1000, func() { p.Begin(); p.Next(); p.End() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
