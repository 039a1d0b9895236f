//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/internal/testkit/redisserver"
)

const storePassword = "store-password-6b1f"

// sharingProxy starts a proxy that shares limits by the server: a mailbox of gmail may have
// one connection.
func sharingProxy(t *testing.T, box *sandbox.Server, srv *redisserver.Server, node, keyFile string) *proxy {
	t.Helper()
	dir := t.TempDir()
	files, err := box.WriteProxyFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte(storePassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, files.Config, func(root map[string]any) {
		root["share"] = map[string]any{"url": "redis://" + srv.Addr, "node": node, "key": "file:" + keyFile, "username": "proxies", "password": "file:" + password}
		root["log"] = map[string]any{"format": "json", "messages": "all"}
		root["providers"] = map[string]any{"gmail": map[string]any{"max_concurrent_messages": 1, "connection_pool": map[string]any{"max_connections_per_account": 1}}}
	})
	return launchProxy(t, files)
}

func sealKeyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(seal.GenerateKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Two proxies send from one mailbox that may have one connection: it never has two, all is
// delivered by both, and what an operator orders at one holds at the other.
func TestTwoProxiesShareAMailbox(t *testing.T) {
	box := provider.Start(t, sandbox.Config{Accounts: accounts(gmailUser)})
	t.Cleanup(func() { provider.NoViolations(t, box) })
	srv := redisserver.Start(t, redisserver.Options{Users: []string{"user proxies on >" + storePassword + " ~xp:* &xp:* +@all"}})
	srv.Settle("xp:epoch")
	key := sealKeyFile(t)
	proxies := []*proxy{sharingProxy(t, box, srv, "mx1", key), sharingProxy(t, box, srv, "mx2", key)}
	var senders sync.WaitGroup
	for i, p := range proxies {
		senders.Go(func() {
			sent := 0
			for deadline := time.Now().Add(arrivalTimeout); sent < 5 && time.Now().Before(deadline); {
				c, err := testkit.LogIn(p.addr, gmailUser, clientPassword)
				if err != nil {
					continue
				}
				if err := testkit.Submit(c, gmailUser, []string{"to@example.net"}, []byte(fmt.Sprintf("Subject: %d %d\r\n\r\nx\r\n", i, sent))); err == nil {
					sent++
				}
				c.Close()
			}
			if sent < 5 {
				t.Errorf("mx%d has sent %d messages", i+1, sent)
			}
		})
	}
	senders.Wait()
	for _, peaks := range box.Peaks() {
		if peaks.Connections > 1 {
			t.Errorf("%+v: more than one connection", peaks)
		}
	}
	for _, p := range proxies {
		if log := p.Log(); strings.Contains(log, storePassword) {
			t.Error("the password of the store is in the log")
		}
	}
}

// A proxy with a wrong password of the store says so, and not which.
func TestWrongPasswordOfTheStore(t *testing.T) {
	box := provider.Start(t, sandbox.Config{Accounts: accounts(gmailUser)})
	srv := redisserver.Start(t, redisserver.Options{Users: []string{"user proxies on >another-password ~xp:* &xp:* +@all"}})
	p := sharingProxy(t, box, srv, "mx1", sealKeyFile(t))
	testkit.Eventually(t, "the log says why", func() bool { return strings.Contains(p.Log(), "WRONGPASS") })
	if strings.Contains(p.Log(), storePassword) {
		t.Error("the password of the store is in the log")
	}
}
