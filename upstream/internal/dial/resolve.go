package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/singleflight"

	"xoauth2-proxy/internal/metric"
)

const (
	// staleMost is the greatest age of an answer that is used in place of a newer
	// one (RFC 8767 section 5 suggests one to three days).
	staleMost = 24 * time.Hour
	// stalePatience bounds the look-up when an old answer can be used (the client
	// response timer of RFC 8767 section 5).
	stalePatience = 1800 * time.Millisecond
	// staleRecheck is the time from a failed look-up to the next one (the failure
	// recheck timer of RFC 8767 section 5).
	staleRecheck = 30 * time.Second
)

// ErrNoAddress: the host has no address in a family that may be used.
var ErrNoAddress = errors.New("no address of the host may be used")

// Results of look-ups, the values of the label of upstream_dns_lookups_total.
const (
	resultHit    = iota // the addresses were known
	resultMiss          // they were looked up
	resultStale         // the look-up failed, and the old addresses are used
	resultFailed        // the look-up failed
	numResults
)

var resultNames = [numResults]string{"hit", "miss", "stale", "failed"}

// resolver looks up the addresses of hosts and remembers them; there are few hosts.
// Concurrent look-ups of one name are one. When a look-up fails or takes long, the
// resolver returns the addresses that it knew before.
type resolver struct {
	ttl     time.Duration // 0: nothing is remembered
	ipv6    atomic.Bool   // IPv6 addresses are looked up too
	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error)
	results [numResults]*metrics.Counter

	flights singleflight.Group
	mu      sync.Mutex          // guards hosts; a leaf
	hosts   map[string]resolved // by network and host
}

// resolved is an answer to a look-up.
type resolved struct {
	addrs []netip.Addr
	at    time.Time // of the answer
	due   time.Time // of the next look-up
}

func newResolver(ttl time.Duration, ipv6 bool, set *metrics.Set) *resolver {
	r := &resolver{ttl: ttl, lookup: net.DefaultResolver.LookupNetIP, hosts: make(map[string]resolved)}
	r.ipv6.Store(ipv6)
	lookups := metric.New(set, "upstream_dns_lookups_total", "Look-ups of providers' addresses, by outcome.",
		"result: hit, remembered; miss, asked for; stale, the old addresses are used since asking failed; failed, there are none").
		Do("stale, failed: look at the resolver of this machine.")
	for i, name := range resultNames {
		r.results[i] = lookups.Counter(name)
	}
	return r
}

// addresses returns the addresses of host, which may be an address itself. The
// caller must not change the slice.
func (r *resolver) addresses(ctx context.Context, host string, timeout time.Duration) ([]netip.Addr, error) {
	network := "ip4"
	if r.ipv6.Load() {
		network = "ip"
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if ip.Unmap().Is6() && network == "ip4" {
			return nil, ipv6Off(host)
		}
		return []netip.Addr{ip.Unmap()}, nil
	}
	now := time.Now()
	key := network + " " + host
	known := r.known(key)
	if len(known.addrs) > 0 && now.Before(known.due) {
		r.results[resultHit].Inc()
		return known.addrs, nil
	}
	if len(known.addrs) > 0 && now.Sub(known.at) < staleMost {
		timeout = min(timeout, stalePatience)
	} else {
		known = resolved{}
	}
	addrs, err := r.ask(ctx, network, host, timeout)
	if err != nil && len(known.addrs) > 0 && ctx.Err() == nil {
		known.due = time.Now().Add(min(staleRecheck, r.ttl))
		r.keep(key, known)
		r.results[resultStale].Inc()
		return known.addrs, nil
	}
	return addrs, err
}

// ask looks host up, once for all concurrent callers.
func (r *resolver) ask(ctx context.Context, network, host string, timeout time.Duration) ([]netip.Addr, error) {
	key := network + " " + host
	for {
		v, err, shared := r.flights.Do(key, func() (any, error) {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			addrs, err := r.lookup(ctx, network, host)
			if err == nil && len(addrs) == 0 {
				err = fmt.Errorf("%w: none found for %s", ErrNoAddress, host)
			}
			if network == "ip4" && r.lacks(ctx, host, err) {
				err = ipv6Off(host)
			}
			if err != nil {
				r.results[resultFailed].Inc()
				return nil, err
			}
			for i := range addrs {
				addrs[i] = addrs[i].Unmap()
			}
			r.results[resultMiss].Inc()
			now := time.Now()
			r.keep(key, resolved{addrs, now, now.Add(r.ttl)})
			return addrs, nil
		})
		if err == nil {
			return v.([]netip.Addr), nil
		}
		if shared && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue // the caller that looked it up for all gave up
		}
		return nil, err
	}
}

// lacks reports whether err, of a look-up for IPv4 addresses, comes from a host that has only
// IPv6 addresses.
func (r *resolver) lacks(ctx context.Context, host string, err error) bool {
	dns, _ := errors.AsType[*net.DNSError](err)
	if !errors.Is(err, ErrNoAddress) && (dns == nil || !dns.IsNotFound) {
		return false
	}
	addrs, err := r.lookup(ctx, "ip6", host)
	return err == nil && len(addrs) > 0
}

func (r *resolver) known(key string) resolved {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hosts[key]
}

func (r *resolver) keep(key string, a resolved) {
	if r.ttl <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts[key] = a
}
