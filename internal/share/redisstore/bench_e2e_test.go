//go:build e2e

package redisstore

import (
	"fmt"
	"testing"
	"time"

	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/redisserver"
)

// BenchmarkRenew measures what the server needs for the reports of 2,000 accounts at 4
// nodes, each of which every node renews every 5 s: all warm on all nodes, or each on its
// home alone. An operation is one report. server-% is of one CPU.
func BenchmarkRenew(b *testing.B) {
	for _, c := range []struct {
		name  string
		nodes int
	}{{"everywhere", 4}, {"at home", 1}} {
		b.Run(c.name, func(b *testing.B) {
			const accounts = 2000
			srv := redisserver.Start(b, redisserver.Options{})
			s, err := Open(Config{URL: "redis://" + srv.Addr})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			load := newLoad(accounts, c.nodes)
			renew := func(n int) {
				testkit.Eventually(b, "the server answers in time", func() bool {
					node, reports := load.next(n)
					_, err := s.Renew(testkit.Context(b), node, reports)
					return err == nil
				})
			}
			for range load.rounds() { // all have rows
				renew(batch)
			}
			cpu := srv.CPU()
			b.ResetTimer()
			for left := b.N; left > 0; left -= batch {
				renew(min(left, batch))
			}
			b.StopTimer()
			each := float64(srv.CPU()-cpu) / float64(b.N)
			perSecond := float64(accounts*c.nodes) / share.RenewEvery.Seconds()
			b.ReportMetric(each/1000, "server-µs/op")
			b.ReportMetric(each*perSecond/float64(time.Second)*100, "server-%")
		})
	}
}

// batch is how many reports go in one round trip.
const batch = 50

// load makes reports of nodes that send some 6 messages a minute of each account.
type load struct {
	nodes   []share.Node
	reports [][]share.Report // by node
	at      int
}

func newLoad(accounts, nodes int) *load {
	l := new(load)
	for n := range nodes {
		l.nodes = append(l.nodes, share.Node{Name: fmt.Sprintf("mx%d.example.com", n), Incarnation: fmt.Sprintf("%016x", n)})
		reports := make([]share.Report, accounts)
		for a := range reports {
			r := &reports[a]
			r.Key = fmt.Sprintf("\x00smtp.office365.com:587\x00user%04d@contoso.example", a)
			r.Slots = share.SlotReport{Limit: 3, Have: 1, Busy: a % 2, Want: 1}
			r.Permits[share.MessagesPerMinute] = share.PermitReport{Limit: 30, Held: 1, Want: 1}
			r.Permits[share.RecipientsPerDay] = share.PermitReport{Limit: 10000, Held: 10, Want: 10}
		}
		l.reports = append(l.reports, reports)
	}
	return l
}

func (l *load) rounds() int { return len(l.nodes) * len(l.reports[0]) / batch }

// next returns the next n reports of a node: every second one has sent a message.
func (l *load) next(n int) (share.Node, []share.Report) {
	rounds := len(l.reports[0]) / batch
	node := l.at / rounds % len(l.nodes)
	from := l.at % rounds * batch
	l.at++
	reports := l.reports[node][from : from+n]
	for i := range reports {
		r := &reports[i]
		r.Seq++
		if r.Seq%2 == 0 {
			r.Permits[share.MessagesPerMinute].Settled++
			r.Permits[share.RecipientsPerDay].Settled++
		}
	}
	return l.nodes[node], reports
}
