package soak

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"

	"xoauth2-proxy/perf/lab"
)

// stand is the proxy and the sandbox, as processes at fixed addresses.
type stand struct {
	*lab.Stand
	network  *lab.Network
	entrance string // of the proxy, through the network
	logins   []string
	accounts []map[string]any // as the sandbox wrote them
}

// newStand starts both. The proxy has short timeouts: a stall of the provider is to be
// over within a round.
func newStand(b *lab.Bench, accounts int) *stand {
	s := &stand{}
	for i := range accounts {
		s.logins = append(s.logins, lab.Login(i))
	}
	s.Stand = b.NewStand(lab.Sandbox{Accounts: accounts, Preset: "gmail", SMTP: lab.FreeAddress(), HTTP: lab.FreeAddress()},
		lab.Setup{Connections: 5, Sections: map[string]any{
			"server": map[string]any{"drain_timeout": "5s"},
			"upstream": map[string]any{
				"acquire_timeout": "2s", "greeting_timeout": "1s", "tls_timeout": "1s",
				"command_timeout": "1s", "content_timeout": "1s", "final_reply_timeout": "1s", "transaction_timeout": "10s",
			},
			"oauth": map[string]any{"request_timeout": "1s"},
			"log":   map[string]any{"level": "error"},
			"providers": map[string]any{lab.ProviderName: map[string]any{
				"connection_pool": map[string]any{"max_messages_per_connection": 50, "connection_idle_timeout_seconds": 2},
				// A limit that is never met: what an account sends in a day is counted.
				"rate_limiting": map[string]any{"messages_per_day": 10_000_000},
			}},
		}})
	s.accounts = lab.ReadAccounts(s.Sandbox.Accounts)
	s.network = b.StartNetwork()
	s.entrance = s.network.Between(clientSide, s.Addr)
	_, port, _ := net.SplitHostPort(s.network.Between(providerSide, s.Sandbox.Plain))
	for _, a := range s.accounts[:len(s.accounts)/2] {
		a["oauth_endpoint"] = "localhost:" + port
	}
	s.reload(len(s.accounts), nil)
	return s
}

// The names of the networks between. Half of the clients and half of the accounts go through
// them.
const clientSide, providerSide = "clients", "provider"

// reload has the proxy load n of the accounts, which random picks if there is one.
func (s *stand) reload(n int, random *rand.Rand) {
	list := append([]map[string]any(nil), s.accounts...)
	if random != nil {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	lab.WriteAccounts(s.Sandbox.Accounts, list[:n])
	s.Signal(syscall.SIGHUP)
}

// restartAll has another sandbox, which has another CA, and so another proxy.
func (s *stand) restartAll() {
	s.Sandbox.Restart()
	s.Restart()
}

// faults replaces the rules of what the sandbox does wrong; nil has it do all right.
func (s *stand) faults(rules any) {
	method := http.MethodPost
	if rules == nil {
		method = http.MethodDelete
	}
	lab.Call(method, s.Sandbox.API+"/faults", rules)
}

// resume lets an account be tried again.
func (s *stand) resume(login string) {
	status := s.Order("/admin/accounts/" + login + "/resume")
	if status != http.StatusOK && status != http.StatusNotFound { // a reload may have taken it away
		lab.Check(fmt.Errorf("resuming %s was answered %d", login, status))
	}
}
