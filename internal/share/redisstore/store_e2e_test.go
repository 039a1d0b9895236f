//go:build e2e

package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/internal/testkit/redisserver"
)

var (
	nodeA = share.Node{Name: "mx1", Incarnation: "a1"}
	nodeB = share.Node{Name: "mx2", Incarnation: "b1"}
)

const chain = "\x00smtp.gmail.com:587\x00user@gmail.com"

func open(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// settle has the server look as if it had had its data for long: otherwise nothing is lent
// out at first.
func settle(t *testing.T, srv *redisserver.Server) {
	t.Helper()
	srv.Settle(keyEpoch)
}

func openAt(t *testing.T, srv *redisserver.Server) *Store {
	t.Helper()
	return open(t, Config{URL: "redis://" + srv.Addr})
}

// claim claims for a minute.
func claim(t *testing.T, s *Store, n share.Node) share.Claim {
	t.Helper()
	c, err := s.Claim(testkit.Context(t), n, chain, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaims(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	a, b := openAt(t, srv), openAt(t, srv)
	if c := claim(t, a, nodeA); c.Fence != 0 {
		t.Fatalf("claimed right after the data may have been lost: %+v", c)
	}
	settle(t, srv)
	ctx := testkit.Context(t)
	commit := func(s *Store, n share.Node, fence uint64, record string) bool {
		t.Helper()
		held, err := s.Commit(ctx, n, chain, fence, []byte(record))
		if err != nil {
			t.Fatal(err)
		}
		return held
	}

	first := claim(t, a, nodeA)
	if first.Fence == 0 || first.Record != nil || first.Version != 0 {
		t.Fatalf("the first claim: %+v", first)
	}
	if c := claim(t, a, nodeA); c.Fence != first.Fence {
		t.Fatalf("a repeated claim: %+v after %+v", c, first)
	}
	if c := claim(t, b, nodeB); c.Fence != 0 {
		t.Fatalf("two nodes may refresh: %+v", c)
	}
	if commit(b, nodeB, first.Fence-1, "theirs") {
		t.Fatal("a node commits by a fence that passed")
	}
	const record = "sealed\x00\xff\r\n"
	if !commit(a, nodeA, first.Fence, record) || !commit(a, nodeA, first.Fence, "a repeat, not executed") {
		t.Fatal("the holder cannot commit")
	}
	got, err := b.Record(ctx, chain)
	if err != nil || string(got.Record) != record || got.Version == 0 || got.Fence != 0 {
		t.Fatalf("the record: %+v, %v", got, err)
	}
	second := claim(t, b, nodeB)
	if second.Fence <= first.Fence || string(second.Record) != record || second.Version != got.Version {
		t.Fatalf("the second claim: %+v after %+v", second, first)
	}
	if err := b.Abandon(ctx, nodeB, chain, second.Fence); err != nil {
		t.Fatal(err)
	}
	third := claim(t, a, nodeA)
	if third.Fence <= second.Fence {
		t.Fatalf("the claim after one that was given up: %+v", third)
	}
	if commit(b, nodeB, second.Fence, "late") {
		t.Fatal("a fence holds after another was given")
	}
}

func TestOrders(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	a, b := openAt(t, srv), openAt(t, srv)
	ctx, stop := context.WithCancel(testkit.Context(t))
	events := make(chan share.Event, 10)
	ended := make(chan error, 1)
	go func() { ended <- b.Events(ctx, func(e share.Event) { events <- e }) }()
	testkit.Eventually(t, "b listens", func() bool { return srv.Do("PUBSUB", "NUMSUB", channel) == channel+"\n1" })

	at := time.Now()
	given := []share.Order{
		{AccountID: "one", State: "paused", At: at, Node: "mx1"},
		{AccountID: "two", State: "drained", Release: true, At: at, Node: "mx1"},
		{AccountID: "one", State: "", At: at.Add(time.Second), Node: "mx1"},
	}
	seen := uint64(0)
	for _, o := range given {
		o.Seen = seen
		if err := a.Order(ctx, o); err != nil {
			t.Fatal(err)
		}
		e := testkit.Receive(t, "an event", events)
		seen = e.Order.Number
		if e.Kind != share.Ordered || e.Key != o.AccountID || !sameOrder(e.Order, o) {
			t.Errorf("given %+v, came %+v", o, e)
		}
	}
	list, err := b.Orders(ctx)
	if err != nil || len(list) != 2 || !sameOrder(list[0], given[2]) || !sameOrder(list[1], given[1]) || list[0].Number <= list[1].Number {
		t.Errorf("orders in force: %+v, %v", list, err)
	}
	if err := b.Order(ctx, share.Order{AccountID: "two", State: "active", At: at, Node: "mx2"}); err != nil {
		t.Fatal(err)
	}
	if e := testkit.Receive(t, "an event", events); !sameOrder(e.Order, given[1]) {
		t.Errorf("an order to resume that had not seen the other one wins: %+v", e)
	}
	stop()
	if err := testkit.Receive(t, "the end of the events", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("events ended by %v", err)
	}
}

// sameOrder compares all but the numbers.
func sameOrder(a, b share.Order) bool {
	return a.AccountID == b.AccountID && a.State == b.State && a.Release == b.Release && a.At.Equal(b.At) && a.Node == b.Node
}

func TestNodes(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	s := openAt(t, srv)
	ctx := testkit.Context(t)
	since := time.Now()
	told := share.Info{Node: share.Node{Name: "mx|2 {x}", Incarnation: "ff"}, Version: "1.2", Protocol: 1, KeyCheck: "k1", Limits: "l1", Since: since, Members: 7}
	for _, i := range []share.Info{told, {Node: nodeA, Protocol: 1, KeyCheck: "k1"}} {
		if err := s.Announce(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	for name, i := range map[string]share.Info{
		"another key":      {Node: nodeB, Protocol: 1, KeyCheck: "k2"},
		"another protocol": {Node: nodeB, Protocol: 2, KeyCheck: "k1"},
	} {
		if err := s.Announce(ctx, i); !errors.Is(err, share.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, err := s.Nodes(ctx)
	if err != nil || len(list) != 2 || list[0].Node != nodeA {
		t.Fatalf("nodes %+v, %v", list, err)
	}
	got := list[1]
	if got.Seen.IsZero() || !got.Since.Equal(since) {
		t.Errorf("seen %v, since %v", got.Seen, got.Since)
	}
	if got.Seen, got.Since = told.Seen, told.Since; got != told {
		t.Errorf("told %+v, is %+v", told, got)
	}
}

// The list that docs/internals/share.md names is enough, and no key or channel of others is
// in reach of it.
func TestAccessList(t *testing.T) {
	const secret = "store-password-91c7"
	srv := redisserver.Start(t, redisserver.Options{Users: []string{"user xoauth2-proxy on >" + secret + " " + leastAccess(t)}})
	settle(t, srv)
	c := Config{URL: "redis://" + srv.Addr, Username: "xoauth2-proxy", Password: account.NewSecret(secret)}
	s := open(t, c)
	everything(t, s)
	for _, command := range []string{"GET other", "KEYS *", "FLUSHALL", "CONFIG GET *", "PUBLISH other x", "EVAL return 0"} {
		args := append([]string{"ACL", "DRYRUN", "xoauth2-proxy"}, strings.Fields(command)...)
		if answer := srv.Do(args...); answer == "OK" {
			t.Errorf("the user may run %s", command)
		}
	}
}

// Each of what a user may do is needed.
func TestAccessListIsLeast(t *testing.T) {
	words := strings.Fields(leastAccess(t))
	srv := redisserver.Start(t, redisserver.Options{})
	for i, word := range words {
		if !strings.ContainsAny(word[:1], "+~&") || word == "+ping" { // a connection that is idle sends PING
			continue
		}
		rest := slices.Concat(words[:i], words[i+1:])
		srv.Do(append([]string{"ACL", "SETUSER", "least", "reset", "on", ">pw"}, rest...)...)
		srv.Do("SCRIPT", "FLUSH")
		srv.Do("FLUSHALL")
		s := open(t, Config{URL: "redis://" + srv.Addr, Username: "least", Password: account.NewSecret("pw")})
		failure := s.Announce(testkit.Context(t), share.Info{Node: nodeA, Protocol: 1, KeyCheck: "k"}) // begins an epoch
		settle(t, srv)
		if failure = errors.Join(failure, tryEverything(t, s)); failure == nil {
			t.Errorf("all works without %s", word)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	const right, wrong = "right-password-11aa", "wrong-password-22bb"
	srv := redisserver.Start(t, redisserver.Options{Users: []string{"user proxy on >" + right + " ~xp:* &xp:* +@all"}})
	for name, c := range map[string]Config{
		"wrong":   {Username: "proxy", Password: account.NewSecret(wrong)},
		"unknown": {Username: "nobody-here", Password: account.NewSecret(right)},
	} {
		c.URL = "redis://" + srv.Addr
		_, err := open(t, c).Claim(testkit.Context(t), nodeA, chain, time.Minute)
		if err == nil || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), right) || strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTLS(t *testing.T) {
	cert, key := testkit.PEM(testkit.Certificate("127.0.0.1", "localhost"))
	srv := redisserver.Start(t, redisserver.Options{Certificate: cert, Key: key})
	settle(t, srv)
	ca := t.TempDir() + "/ca.pem"
	write(t, ca, cert)
	everything(t, open(t, Config{URL: "rediss://" + srv.TLS, CAFile: ca}))

	other := t.TempDir() + "/other.pem"
	foreign, _ := testkit.PEM(testkit.Certificate("127.0.0.1"))
	write(t, other, foreign)
	for name, c := range map[string]Config{
		"another authority":         {URL: "rediss://" + srv.TLS, CAFile: other},
		"the authorities of the OS": {URL: "rediss://" + srv.TLS},
		"no TLS at the server":      {URL: "rediss://" + srv.Addr, CAFile: ca},
	} {
		if err := tryEverything(t, open(t, c)); err == nil {
			t.Errorf("%s: it works", name)
		}
	}
}

func TestSocket(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	settle(t, srv)
	everything(t, open(t, Config{URL: "unix://" + srv.Socket()}))
}

func everything(t *testing.T, s *Store) {
	t.Helper()
	if err := tryEverything(t, s); err != nil {
		t.Fatal(err)
	}
}

// tryEverything does once all that a store does.
func tryEverything(t *testing.T, s *Store) error {
	t.Helper()
	me := share.Node{Name: "mx1", Incarnation: rand.Text()} // not one that was here before
	ctx, stop := context.WithCancel(testkit.Context(t))
	defer stop()
	events, ended := make(chan share.Event, 10), make(chan error, 1)
	go func() { ended <- s.Events(ctx, func(e share.Event) { events <- e }) }()
	if err := s.Announce(ctx, share.Info{Node: me, Protocol: 1, KeyCheck: "k"}); err != nil {
		return err
	}
	if _, err := s.Nodes(ctx); err != nil {
		return err
	}
	report := share.Report{Key: me.Incarnation, Seq: 1, Slots: share.SlotReport{Limit: 3, Want: 1}, Hours: []share.Hour{{Number: 1}}}
	report.Permits[share.MessagesPerMinute] = share.PermitReport{Limit: 30, Settled: 2, Want: 1}
	later := report
	later.Seq++
	later.Permits[share.MessagesPerMinute].Settled++
	if a, err := s.Renew(ctx, me, []share.Report{report, later}); err != nil || a.Grants[1].Slots != 1 || a.Grants[1].Permits[share.MessagesPerMinute].Used != 2 {
		return errors.Join(fmt.Errorf("renewed: %+v", a), err)
	}
	c, err := s.Claim(ctx, me, me.Incarnation, time.Minute)
	if err != nil {
		return err
	}
	if held, err := s.Commit(ctx, me, me.Incarnation, c.Fence, []byte("record")); err != nil || !held {
		return errors.Join(errors.New("commit"), err)
	}
	if r, err := s.Record(ctx, me.Incarnation); err != nil || string(r.Record) != "record" {
		return errors.Join(errors.New("record"), err)
	}
	if c, err = s.Claim(ctx, me, me.Incarnation, time.Minute); err != nil {
		return err
	}
	if err := s.Abandon(ctx, me, me.Incarnation, c.Fence); err != nil {
		return err
	}
	if _, err := s.Orders(ctx); err != nil {
		return err
	}
	for { // until the subscription stands
		if err := s.Order(ctx, share.Order{AccountID: "one", State: "paused", At: time.Now()}); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return err
		case <-events:
			return nil
		default:
		}
	}
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// leastAccess is what docs/internals/share.md says that a user needs.
func leastAccess(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../docs/internals/share.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ +user xoauth2-proxy on >PASSWORD ([^\\\n]+) \\\n +([^\\\n]+)$`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatal("docs/internals/share.md has no line of an access list")
	}
	return found[1] + " " + found[2]
}

func TestProbe(t *testing.T) {
	srv := redisserver.Start(t, redisserver.Options{})
	s := openAt(t, srv)
	for policy, evicts := range map[string]bool{"noeviction": false, "allkeys-lru": true, "volatile-ttl": true} {
		srv.Do("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", policy)
		f, err := s.Probe(testkit.Context(t))
		if err != nil || f.Evicts != evicts || !strings.Contains(srv.Do("INFO", "server"), "redis_version:"+f.Version+"\r\n") || f.Version == "" || len(f.Nodes) != 0 {
			t.Errorf("%s: %+v, %v", policy, f, err)
		}
	}
	srv.Do("CONFIG", "SET", "maxmemory", "0")
	if err := s.Announce(testkit.Context(t), share.Info{Node: nodeA, Protocol: 1, KeyCheck: "k"}); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Probe(testkit.Context(t)); err != nil || f.Evicts || len(f.Nodes) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	srv.Kill()
	if f, err := s.Probe(testkit.Context(t)); err == nil {
		t.Errorf("without a server %+v", f)
	}
}
