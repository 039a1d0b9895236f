package scale

import (
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"xoauth2-proxy/perf/lab"
)

// fault is one thing that goes wrong in a phase.
type fault struct {
	name    string
	lasts   time.Duration
	ofStore bool // it needs one
	// excused is how many connections above the limit a mailbox may have in it: those of a
	// proxy that cannot close them, and that nothing can prevent.
	excused int
	// forgets: a proxy loses its counts of a minute.
	forgets bool
	// strike has it go wrong, and right again. It returns what should not have come of it.
	strike func(*stand) error
}

// faults are all of them. A proxy that is killed forgets what it sent in the minute before, if no
// store has it: the load after that would not be within the limits, so it is the last one.
var faults = []fault{
	{name: "Redis killed, with AOF", lasts: 3 * time.Second, ofStore: true, strike: func(s *stand) error { s.store.kill(3*time.Second, true); return nil }},
	{name: "Redis killed, empty afterwards", lasts: 3 * time.Second, ofStore: true, strike: func(s *stand) error { s.store.kill(3*time.Second, false); return nil }},
	{name: "Redis stopped for 1 s", lasts: time.Second, ofStore: true, strike: pauseStore(time.Second)},
	{name: "Redis stopped for 10 s", lasts: 10 * time.Second, ofStore: true, strike: pauseStore(10 * time.Second)},
	{name: "Redis stopped for 60 s", lasts: 60 * time.Second, ofStore: true, strike: pauseStore(60 * time.Second)},
	{name: "FLUSHALL", ofStore: true, strike: func(s *stand) error { s.store.order(s.store.addr, "FLUSHALL"); return nil }},
	{name: "CLIENT KILL", ofStore: true, strike: func(s *stand) error {
		for _, kind := range []string{"normal", "pubsub"} {
			s.store.order(s.store.addr, "CLIENT KILL TYPE "+kind)
		}
		return nil
	}},
	{name: "answers 300 ms late", lasts: 15 * time.Second, ofStore: true, strike: func(s *stand) error {
		s.store.network.Spoil(gateName, lab.Toxic{Name: "late", Type: "latency", Stream: "downstream", Attributes: map[string]int{"latency": 300}})
		time.Sleep(15 * time.Second)
		s.store.network.Heal()
		return nil
	}},
	{name: "network cut for 8 s", lasts: 8 * time.Second, ofStore: true, strike: func(s *stand) error {
		s.store.network.Enable(gateName, false)
		time.Sleep(8 * time.Second)
		s.store.network.Enable(gateName, true)
		return nil
	}},
	{name: "orders while the network is cut", lasts: 8 * time.Second, ofStore: true, strike: ordersWhileCut},
	{name: "replica promoted", lasts: 2 * time.Second, ofStore: true, strike: func(s *stand) error { s.store.promote(); return nil }},
	{name: "proxy stopped for 30 s", lasts: 30 * time.Second, excused: connections, strike: func(s *stand) error {
		s.proxies[0].Signal(syscall.SIGSTOP)
		time.Sleep(30 * time.Second)
		s.proxies[0].Signal(syscall.SIGCONT)
		return nil
	}},
	{name: "proxy killed", lasts: 5 * time.Second, forgets: true, strike: func(s *stand) error {
		s.proxies[0].Signal(syscall.SIGKILL)
		time.Sleep(5 * time.Second)
		s.proxies[0].Restart()
		return nil
	}},
}

// pauseStore stops the store's process for a while.
func pauseStore(d time.Duration) func(*stand) error {
	return func(s *stand) error {
		s.store.server.Signal(syscall.SIGSTOP)
		time.Sleep(d)
		s.store.server.Signal(syscall.SIGCONT)
		return nil
	}
}

// ordersWhileCut pauses an account by one proxy while none reaches the store: afterwards all
// have it paused, and then take it up again.
func ordersWhileCut(s *stand) (complaint error) {
	path := "/admin/accounts/" + lab.Login(0)
	s.store.network.Enable(gateName, false)
	s.proxies[0].Order(path + "/pause") // in force here, whatever it answers
	time.Sleep(8 * time.Second)
	s.store.network.Enable(gateName, true)
	for _, state := range []string{"paused", "active"} {
		if state == "active" {
			if status := s.proxies[1].Order(path + "/resume"); status != http.StatusOK {
				return fmt.Errorf("an order was answered %d", status)
			}
		}
		if err := s.awaitHold(path, state); err != nil {
			return err
		}
	}
	return nil
}

// awaitHold waits until all proxies have an account in a state.
func (s *stand) awaitHold(path, state string) error {
	deadline := time.Now().Add(10 * time.Second)
	for i, p := range s.proxies {
		for {
			var answer struct{ Hold struct{ State string } }
			lab.Check(json.Unmarshal(lab.Get(p.Admin+path), &answer))
			if answer.Hold.State == state {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("proxy %d has the account %s ten seconds after the order to have it %s", i+1, answer.Hold.State, state)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}
