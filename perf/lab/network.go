package lab

import (
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A Network is Toxiproxy: TCP proxies between the measured programs, with faults.
type Network struct {
	*Process
	api     string
	proxies []map[string]any // as Toxiproxy is asked for them
	start   func()
}

// StartNetwork builds and starts it.
func (b *Bench) StartNetwork() *Network {
	program := filepath.Join(b.dir, "toxiproxy")
	root := filepath.Dir(strings.TrimSpace(string(Must(exec.Command("go", "env", "GOMOD").Output()))))
	goBuild(program, "-modfile="+filepath.Join(root, "tools", "go.mod"), "github.com/Shopify/toxiproxy/v2/cmd/server")
	addr := FreeAddress()
	host, port, err := net.SplitHostPort(addr)
	Check(err)
	n := &Network{api: "http://" + addr}
	n.start = func() {
		n.Process = b.Start([]string{"LOG_LEVEL=fatal"}, program, "-host", host, "-port", port)
		n.Discard()
		n.WaitReady(addr)
	}
	n.start()
	return n
}

// Between puts a proxy before a target, and returns its address.
func (n *Network) Between(name, target string) string {
	proxy := map[string]any{"name": name, "listen": FreeAddress(), "upstream": target, "enabled": true}
	Call(http.MethodPost, n.api+"/proxies", proxy)
	n.proxies = append(n.proxies, proxy)
	return proxy["listen"].(string)
}

// A Toxic is a fault of a network.
type Toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Stream     string         `json:"stream"` // "upstream": of what the client sends; "downstream": of what it receives
	Attributes map[string]int `json:"attributes"`
}

// RandomToxic returns a fault: pieces of a few octets, latency, little bandwidth, a cut after
// some octets, or a reset.
func RandomToxic(random *rand.Rand) Toxic {
	t := []Toxic{
		{Type: "slicer", Attributes: map[string]int{"average_size": 5, "size_variation": 4}},
		{Type: "latency", Attributes: map[string]int{"latency": 40, "jitter": 10}},
		{Type: "bandwidth", Attributes: map[string]int{"rate": 800}}, // KB/s
		{Type: "limit_data", Attributes: map[string]int{"bytes": 1 + random.IntN(100<<10)}},
		{Type: "limit_data", Attributes: map[string]int{"bytes": 1 + random.IntN(2<<10)}},
		{Type: "reset_peer", Attributes: map[string]int{"timeout": random.IntN(500)}}, // ms
	}[random.IntN(6)]
	t.Name = strconv.FormatUint(random.Uint64(), 36)
	t.Stream = []string{"upstream", "downstream"}[random.IntN(2)]
	return t
}

// Spoil adds a fault to a proxy, or heals all if Toxiproxy cannot.
func (n *Network) Spoil(proxy string, t Toxic) {
	if Try(func() { Call(http.MethodPost, n.api+"/proxies/"+proxy+"/toxics", t) }) != nil {
		n.Heal()
	}
}

// Enable lets a proxy pass connections on, or cuts it off.
func (n *Network) Enable(proxy string, on bool) { n.change(proxy, map[string]any{"enabled": on}) }

// Redirect has a proxy connect to another target.
func (n *Network) Redirect(proxy, target string) { n.change(proxy, map[string]any{"upstream": target}) }

// change changes a proxy, also for when Toxiproxy is started anew.
func (n *Network) change(proxy string, settings map[string]any) {
	for _, p := range n.proxies {
		if p["name"] == proxy {
			maps.Copy(p, settings)
			Call(http.MethodPost, n.api+"/proxies/"+proxy, p)
		}
	}
}

// Heal removes all faults. Where Toxiproxy cannot, since it waits for a connection that it
// holds back, it is started anew.
func (n *Network) Heal() {
	if Try(func() { Call(http.MethodPost, n.api+"/reset", nil) }) != nil {
		n.Restart()
	}
}

// Restart has Toxiproxy without faults, and cuts all its connections.
func (n *Network) Restart() {
	n.Stop()
	n.start()
	for _, proxy := range n.proxies {
		Call(http.MethodPost, n.api+"/proxies", proxy)
	}
}
