package lab

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"time"
)

// Programs are the built programs.
type Programs struct{ Proxy, Loadgen, Sink string }

// BuildAll builds all of them into dir, except the proxy if there is one
// already: that of another version, for a comparison.
func BuildAll(dir, proxy string) (Programs, error) {
	packages := []string{"xoauth2-proxy/loadgen", "xoauth2-proxy/perf/sink", "xoauth2-proxy/cmd/xoauth2-proxy"}
	if proxy != "" {
		packages = packages[:2]
	}
	built, err := Build(dir, packages...)
	if err != nil {
		return Programs{}, err
	}
	if proxy == "" {
		proxy = built[2]
	}
	return Programs{Proxy: proxy, Loadgen: built[0], Sink: built[1]}, nil
}

// A Provider is what the proxy relays to: the sandbox or the sink.
type Provider struct {
	*Process
	Plain    string // its clear-text address; the sandbox has none
	API      string // the base of its HTTP side
	Accounts string // an accounts.json for the proxy
	CA       string // the certificate to trust
}

// StartSink starts the sink, with files for a proxy of so many accounts. It takes
// its pace to answer the end of a message.
func StartSink(programs Programs, dir string, accounts int, pace time.Duration) (*Provider, error) {
	p := &Provider{Accounts: filepath.Join(dir, "accounts.json"), CA: filepath.Join(dir, "ca.pem")}
	var err error
	if p.Process, err = Start(programs.Sink, "-ca", p.CA, "-pace", pace.String()); err != nil {
		return nil, err
	}
	line, err := p.Line()
	var at struct{ Plain, TLS, HTTP string }
	if err == nil {
		err = json.Unmarshal([]byte(line), &at)
	}
	if err != nil {
		p.Stop()
		return nil, err
	}
	p.Discard()
	p.Plain, p.API = at.Plain, "http://"+at.HTTP
	_, port, _ := net.SplitHostPort(at.TLS)
	list := make([]map[string]any, accounts)
	for i := range list {
		list[i] = map[string]any{
			"account_id": fmt.Sprintf("bench-%d", i+1), "email": fmt.Sprintf("user%d@example.com", i+1), "provider": ProviderName,
			"client_id": "bench", "client_secret": "bench", "refresh_token": fmt.Sprintf("refresh-%d", i+1),
			"oauth_token_url": p.API + "/token", "oauth_endpoint": "localhost:" + port,
		}
	}
	if err := WriteJSON(p.Accounts, map[string]any{"accounts": list}); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}
