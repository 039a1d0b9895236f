package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/internal/adminclient"
	"xoauth2-proxy/perf/lab"
)

// providerName is that of the accounts in the proxy's files: one that no
// limits are known of.
const providerName = "soak"

// stand is the proxy and the sandbox, as processes at fixed addresses.
type stand struct {
	program, dir string
	logins       []string
	accounts     []map[string]any // as the sandbox wrote them
	api          string           // base of the sandbox's HTTP side
	addr, admin  string           // of the proxy
	http         *http.Client

	proxy, sandbox *lab.Process
}

// newStand starts both.
func newStand(program, dir string, accounts int) (*stand, error) {
	s := &stand{program: program, dir: dir, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{Proxy: nil}}}
	ports := make([]int, 4)
	for i := range ports {
		var err error
		if ports[i], err = lab.FreePort(); err != nil {
			return nil, err
		}
	}
	local := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	s.api, s.addr, s.admin = "http://"+local(1), local(2), "http://"+local(3)
	list := make([]map[string]string, accounts)
	for i := range list {
		login := fmt.Sprintf("user%d@soak.test", i)
		s.logins = append(s.logins, login)
		list[i] = map[string]string{"account_id": fmt.Sprintf("soak-%d", i), "email": login, "provider": "gmail", "endpoint": "mail"}
	}
	err := lab.WriteJSON(filepath.Join(dir, "sandbox.json"), map[string]any{
		"endpoints": []map[string]string{{"name": "mail", "preset": "gmail", "starttls": local(0), "tls": "-"}},
		"http":      local(1), "accounts": list, "limits": "off", "store": map[string]string{"mode": "count"},
	})
	if err == nil {
		err = s.startSandbox()
	}
	if err == nil {
		s.accounts, err = lab.ReadAccounts(filepath.Join(dir, "accounts.json"), providerName)
	}
	if err == nil {
		err = s.writeConfig()
	}
	if err == nil {
		err = s.writeAccounts(len(s.accounts), nil)
	}
	if err == nil {
		err = s.startProxy()
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// startSandbox starts the sandbox, at the same addresses each time.
func (s *stand) startSandbox() (err error) {
	s.sandbox, _, err = lab.Sandbox(s.program, "--dir", s.dir, "--config", filepath.Join(s.dir, "sandbox.json"))
	return err
}

// startProxy starts the proxy, at the same addresses each time.
func (s *stand) startProxy() (err error) {
	_, port, _ := strings.Cut(s.addr, ":")
	adminPort := s.admin[strings.LastIndexByte(s.admin, ':')+1:]
	s.proxy, err = lab.Start(s.program, "serve", "--config", filepath.Join(s.dir, "proxy.json"),
		"--accounts", filepath.Join(s.dir, "proxy-accounts.json"), "--host", "127.0.0.1", "--port", port,
		"--admin-host", "127.0.0.1", "--admin-port", adminPort)
	if err != nil {
		return err
	}
	s.proxy.Discard()
	return s.proxy.WaitReady(s.addr)
}

// writeConfig writes a configuration with short timeouts: a stall of the
// provider is to be over within a round.
func (s *stand) writeConfig() error {
	return lab.WriteJSON(filepath.Join(s.dir, "proxy.json"), map[string]any{
		"server": map[string]any{"drain_timeout": "5s"},
		"upstream": map[string]any{
			"ca_file": filepath.Join(s.dir, "ca.pem"), "acquire_timeout": "2s", "greeting_timeout": "1s", "tls_timeout": "1s",
			"command_timeout": "1s", "content_timeout": "1s", "final_reply_timeout": "1s", "transaction_timeout": "10s",
		},
		"oauth": map[string]any{"request_timeout": "1s"},
		"log":   map[string]any{"level": "error"},
		"providers": map[string]any{providerName: map[string]any{
			"smtp_host": "localhost", "token_url": s.api + "/token",
			"connection_pool": map[string]any{"max_connections_per_account": 5, "max_messages_per_connection": 50,
				"connection_idle_timeout_seconds": 2},
			// A limit that is never met: what an account sends in a day is counted.
			"rate_limiting": map[string]any{"logins_per_minute": 0, "messages_per_day": 10_000_000},
		}},
	})
}

// writeAccounts writes n of the accounts, which random picks if there is one.
// The file is replaced whole, as the proxy may read it any time.
func (s *stand) writeAccounts(n int, random *rand.Rand) error {
	list := append([]map[string]any(nil), s.accounts...)
	if random != nil {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	name := filepath.Join(s.dir, "proxy-accounts.json")
	if err := lab.WriteJSON(name+".new", map[string]any{"accounts": list[:n]}); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// signal sends a signal to the proxy.
func (s *stand) signal(sig syscall.Signal) error { return syscall.Kill(s.proxy.PID(), sig) }

// restartProxy ends the proxy, in order or not, and starts another.
func (s *stand) restartProxy(kill bool) error {
	if kill {
		if err := s.signal(syscall.SIGKILL); err != nil {
			return fmt.Errorf("the proxy has ended by itself: %w", err)
		}
	}
	s.proxy.Stop()
	return s.startProxy()
}

// restartAll has another sandbox, which has another CA, and so another proxy.
func (s *stand) restartAll() error {
	s.sandbox.Stop()
	if err := s.startSandbox(); err != nil {
		return err
	}
	return s.restartProxy(false)
}

func (s *stand) stop() {
	for _, p := range []*lab.Process{s.proxy, s.sandbox} {
		if p != nil {
			p.Stop()
		}
	}
}

// resume lets an account be tried again, by the admin socket, which is beside the
// accounts file.
func (s *stand) resume(login string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := adminclient.Open(ctx, filepath.Join(s.dir, "admin.sock"))
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Do(ctx, http.MethodPost, "/admin/accounts/"+login+"/resume", nil, nil)
	if answer, ok := errors.AsType[*adminclient.StatusError](err); ok && answer.Status == http.StatusNotFound {
		return nil // a reload has taken it away
	}
	return err
}

// call makes a request to the sandbox's API or to the proxy's admin side and
// returns the body of the answer. Status 404 gives none.
func (s *stand) call(method, url string, body any) ([]byte, error) {
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		in = strings.NewReader(string(text))
	}
	req, err := http.NewRequest(method, url, in)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, text)
	}
	return text, nil
}
