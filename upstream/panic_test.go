package upstream

import "testing"

// TestPanicCostsOneMessage breaks the worker from inside: its connection has
// nothing to write to.
func TestPanicCostsOneMessage(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.relay.Shards = 1 })
	f.sendOK(f.accounts[0], "a\r\n")
	f.until(func() bool { return f.relay.connections(connParked) == 1 })
	s := f.relay.shards[0]
	s.mu.Lock()
	s.accounts[f.accounts[0].ID].parked.newest.rw = nil
	s.mu.Unlock()
	res := f.send(f.accounts[0], "to@example.com", "b\r\n")
	if code(res.Reply) != "451 4.3.0" || res.Err == nil || !res.Err.MaybeAccepted() {
		t.Errorf("reply %v, error %v", res.Reply, res.Err)
	}
	if n := f.metric("upstream_panics_total"); n != "1" {
		t.Errorf("upstream_panics_total = %s", n)
	}
	f.sendOK(f.accounts[0], "c\r\n")
	f.messages(2)
}
