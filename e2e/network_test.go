//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/perf/lab"
)

// TestNetwork has Postfix deliver through a bad network on each side of the proxy. Where
// that is only slow, or in pieces, each message arrives once. Where it cuts connections, Postfix
// may have to send one again whose reply was cut; none is missing, and none is damaged.
// (Exim closes its sending side after QUIT, on which Toxiproxy closes both.)
func TestNetwork(t *testing.T) {
	sendmail := postfixSendmail(t)
	const octets = 3 << 10 // of a cut: in the middle of the smallest message, and of a login's TLS handshake
	for _, bad := range []struct {
		name  string
		toxic lab.Toxic
		sizes []int
		cut   bool
	}{
		{"pieces", lab.Toxic{Type: "slicer", Attributes: map[string]int{"average_size": 5, "size_variation": 4}}, []int{2 << 10, 20 << 10, 200 << 10}, false},
		{"latency", lab.Toxic{Type: "latency", Attributes: map[string]int{"latency": 40, "jitter": 10}}, []int{2 << 10, 200 << 10, 5 << 20}, false},
		{"bandwidth", lab.Toxic{Type: "bandwidth", Attributes: map[string]int{"rate": 800}}, []int{2 << 10, 200 << 10, 5 << 20}, false},
		{"cuts", lab.Toxic{Type: "limit_data", Attributes: map[string]int{"bytes": octets}}, []int{2 << 10, 200 << 10, 5 << 20}, true},
		{"late cuts", lab.Toxic{Type: "limit_data", Attributes: map[string]int{"bytes": 100 << 10}}, []int{2 << 10, 200 << 10, 5 << 20}, true},
		{"resets", lab.Toxic{Type: "reset_peer", Attributes: map[string]int{"timeout": 100}}, []int{2 << 10, 200 << 10, 5 << 20}, true},
	} {
		for _, side := range []string{"clients", "provider"} {
			t.Run(bad.name+"/"+side, func(t *testing.T) {
				t.Parallel()
				s, network := newStackFar(t)
				for _, bad.toxic.Stream = range []string{"upstream", "downstream"} {
					bad.toxic.Name = bad.toxic.Stream
					network.Spoil(side, bad.toxic)
				}
				all := sized(bad.sizes)
				p := startPostfix(t, s, "plain")
				injectAll(t, all, func(t *testing.T, m mail) {
					mustRun(t, withLF(m.content), sendmail, append([]string{"-C", p.config, "-i", "-f", m.from, "--"}, m.to...)...)
				})
				if bad.cut {
					p.await(t, "the first was tried", func() bool { return strings.Contains(p.logged(), "status=") })
					network.Heal()
					p.await(t, "the queue is empty", func() bool {
						queue := p.queue(t)
						if queue != "" && !strings.Contains(queue, `"queue_name": "active"`) {
							mustRun(t, nil, program(t, "postqueue"), "-c", p.config, "-f")
						}
						return queue == ""
					})
					s.arrivedAll(t, all)
					return
				}
				s.arrivedEach(t, all)
				if n := strings.Count(p.logged(), "status=deferred"); n > 0 {
					t.Errorf("%d deliveries were deferred", n)
				}
			})
		}
	}
}

// newStackFar has a network that can be spoilt between the clients and the proxy, and
// between the proxy and the provider.
func newStackFar(t *testing.T) (*stack, *lab.Network) {
	t.Helper()
	b := lab.NewBench(t.TempDir(), lab.Programs{Proxy: proxyBinary, Loadgen: "-", Perf: "-"})
	t.Cleanup(b.Close)
	network := b.StartNetwork()
	s := newStackChanged(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Limits: "off"}, func(_ *stack, files sandbox.ProxyFiles) {
		list := lab.ReadAccounts(files.Accounts)
		for _, a := range list {
			host, port, err := net.SplitHostPort(a["oauth_endpoint"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if a["email"] == gmailUser { // the sender
				_, port, _ = net.SplitHostPort(network.Between("provider", net.JoinHostPort("127.0.0.1", port)))
			}
			a["oauth_endpoint"] = net.JoinHostPort(host, port)
		}
		lab.WriteAccounts(files.Accounts, list)
	})
	s.addr = network.Between("clients", s.addr)
	return s, network
}

// sized are messages of these sizes, several of the small ones.
func sized(sizes []int) (all []mail) {
	for _, size := range sizes {
		for range max(1, min(6, 1<<20/size)) {
			n := len(all)
			body := strings.Repeat(fmt.Sprintf("line of message %d\r\n.\r\n..\r\n", n), size/28)
			all = append(all, mail{login: gmailUser, from: gmailUser, to: []string{fmt.Sprintf("r%d@example.com", n)},
				content: compose("text/plain", "7bit", body)})
		}
	}
	return all
}

// arrivedAll checks that each message has arrived at least once, and no other one.
func (s *stack) arrivedAll(t *testing.T, want []mail) {
	t.Helper()
	missing := map[string]mail{}
	for _, m := range want {
		missing[m.to[0]] = m
	}
	known := maps.Clone(missing)
	for _, got := range s.provider.Messages() {
		to := provider.Paths(got)[0]
		m, ok := known[to]
		if !ok || got.Account != m.login || digest(withoutTrace(t, got.Body, len(m.content))) != digest(m.content) {
			t.Errorf("a message to %s of %d octets under the login %s is not one that was sent", to, len(got.Body), got.Account)
		}
		delete(missing, to)
	}
	if len(missing) > 0 {
		t.Errorf("messages to %v did not arrive", slices.Sorted(maps.Keys(missing)))
	}
}
