//go:build e2e

package redisstore

import (
	"context"
	"strings"
	"testing"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/redisserver"
)

// slotsReport asks for two connections, one of which there is.
func slotsReport(seq uint64) share.Report {
	return share.Report{Key: chain, Seq: seq, Slots: share.SlotReport{Limit: 3, Have: 1, Want: 2}}
}

// renewed renews until the store answers, each time with the next number.
func renewed(t *testing.T, s *Store, seq *uint64) (a share.Answer) {
	t.Helper()
	testkit.Settle(t, func() string {
		*seq++
		var err error
		if a, err = s.Renew(testkit.Context(t), nodeA, []share.Report{slotsReport(*seq)}); err != nil {
			return err.Error()
		}
		return ""
	})
	return a
}

func TestEpochs(t *testing.T) {
	for _, c := range []struct {
		name    string
		options redisserver.Options
		fault   func(*redisserver.Server)
		another bool // epoch
		lost    bool // data
	}{
		{name: "nothing", fault: func(*redisserver.Server) {}},
		{name: "connections killed", fault: func(srv *redisserver.Server) { srv.Do("CLIENT", "KILL", "TYPE", "normal") }},
		{name: "subscribers killed", fault: func(srv *redisserver.Server) { srv.Do("CLIENT", "KILL", "TYPE", "pubsub") }},
		{name: "scripts forgotten", fault: func(srv *redisserver.Server) { srv.Do("SCRIPT", "FLUSH") }},
		{name: "frozen for a moment", fault: func(srv *redisserver.Server) { srv.Freeze(); srv.Thaw() }},
		{name: "flushed", fault: func(srv *redisserver.Server) { srv.Do("FLUSHALL") }, another: true, lost: true},
		{name: "killed", fault: func(srv *redisserver.Server) { srv.Kill(); srv.Restart() }, another: true, lost: true},
		{name: "killed, with a log", options: redisserver.Options{AOF: true}, fault: func(srv *redisserver.Server) { srv.Kill(); srv.Restart() }, another: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := redisserver.Start(t, c.options)
			settle(t, srv)
			s, seq := openAt(t, srv), uint64(0)
			before := renewed(t, s, &seq)
			if before.Grants[0].Slots != 2 {
				t.Fatalf("granted %+v", before)
			}
			publish(t, s)
			c.fault(srv)
			after := renewed(t, s, &seq)
			if another := after.Epoch != before.Epoch; another != c.another {
				t.Errorf("epoch %s after %s", after.Epoch, before.Epoch)
			}
			if slots := after.Grants[0].Slots; c.another && slots != 1 || !c.another && slots != 2 {
				t.Errorf("granted %d slots", slots)
			}
			if other := renewed(t, openAt(t, srv), &seq); other.Epoch != after.Epoch {
				t.Errorf("another connection has epoch %s, not %s", other.Epoch, after.Epoch)
			}
			record, err := s.Record(testkit.Context(t), chain)
			if err != nil || (record.Record == nil) != c.lost {
				t.Errorf("record %+v, %v", record, err)
			}
			if got := claim(t, s, nodeA); (got.Fence == 0) != c.another {
				t.Errorf("claim %+v", got)
			}
		})
	}
}

func publish(t *testing.T, s *Store) {
	t.Helper()
	c := claim(t, s, nodeA)
	if held, err := s.Commit(testkit.Context(t), nodeA, chain, c.Fence, []byte("record")); err != nil || !held {
		t.Fatalf("commit: %v, %v", held, err)
	}
}

// A replica takes no writes until it is promoted; then it is another epoch, with the data.
func TestPromotion(t *testing.T) {
	first := redisserver.Start(t, redisserver.Options{})
	settle(t, first)
	s, seq := openAt(t, first), uint64(0)
	before := renewed(t, s, &seq)
	publish(t, s)
	second := redisserver.Start(t, redisserver.Options{ReplicaOf: first})
	second.Synced(first)
	at2 := openAt(t, second)
	if _, err := at2.Renew(testkit.Context(t), nodeA, []share.Report{slotsReport(100)}); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Fatalf("a replica answers: %v", err)
	}
	first.Kill()
	second.Promote()
	after := renewed(t, at2, &seq)
	if after.Epoch == before.Epoch || after.Grants[0].Slots != 1 {
		t.Errorf("after the promotion %+v, before %+v", after, before)
	}
	if r, err := at2.Record(testkit.Context(t), chain); err != nil || string(r.Record) != "record" {
		t.Errorf("record %+v, %v", r, err)
	}
}

// A call to a server that does not answer ends, and what it asked for late is not executed
// after what came later.
func TestFrozen(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	settle(t, srv)
	s, seq := openAt(t, srv), uint64(0)
	renewed(t, s, &seq)
	srv.Freeze()
	seq++
	late := seq
	if a, err := s.Renew(testkit.Context(t), nodeA, []share.Report{slotsReport(late)}); err == nil {
		t.Errorf("a frozen server answers %+v", a)
	}
	srv.Thaw()
	renewed(t, s, &seq)
	a, err := s.Renew(testkit.Context(t), nodeA, []share.Report{slotsReport(late)})
	if err != nil || !a.Grants[0].Stale {
		t.Errorf("a report that comes late: %+v, %v", a, err)
	}
}

// Without a server each call fails, and events end; with one all works again.
func TestNoServer(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{AOF: true})
	settle(t, srv)
	s, seq := openAt(t, srv), uint64(0)
	renewed(t, s, &seq)
	ended := make(chan error, 1)
	go func() { ended <- s.Events(context.Background(), func(share.Event) {}) }()
	testkit.Eventually(t, "the subscription stands", func() bool { return srv.Do("PUBSUB", "NUMSUB", channel) == channel+"\n1" })
	srv.Kill()
	if err := testkit.Receive(t, "the end of the events", ended); err == nil {
		t.Error("events end without an error")
	}
	if err := tryEverything(t, s); err == nil {
		t.Error("all works without a server")
	}
	closed := open(t, Config{URL: "redis://" + srv.Addr}) // opens, though nothing is there
	if _, err := closed.Nodes(testkit.Context(t)); err == nil {
		t.Error("nodes without a server")
	}
	srv.Restart()
	settle(t, srv)
	renewed(t, s, &seq)
	everything(t, s)
	everything(t, closed)
}

// After Close calls fail.
func TestClosed(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	s := openAt(t, srv)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Renew(testkit.Context(t), nodeA, nil); err == nil {
		t.Error("a closed store answers")
	}
}
