package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/rueidis"

	"xoauth2-proxy/internal/oneline"
	"xoauth2-proxy/internal/share"
)

const (
	// stuckAfter is after how long a connection on which nothing moves is given up, and
	// how long making one may take.
	stuckAfter = 500 * time.Millisecond
	// maxErrorText bounds, in octets, what is quoted of a server's error.
	maxErrorText = 200
)

// Store is a [share.Store] in a server that speaks the protocol of Redis 7.0.
type Store struct {
	client  rueidis.Client
	scripts scripts
}

var _ share.Store = (*Store)(nil)

// Open returns a store. The server need not be there: each call connects, if no connection
// stands. An error is one of the configuration.
func Open(c Config) (*Store, error) {
	option, err := c.option()
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(option)
	if client == nil {
		return nil, storeError(err)
	}
	return &Store{client: client, scripts: loadScripts(serverClock, share.BusyFor)}, nil
}

// option has one connection carry everything, each call behind the one before. A call that
// is late leaves it open.
func (c *Config) option() (rueidis.ClientOption, error) {
	p, err := parseURL(c.URL)
	if err != nil {
		return rueidis.ClientOption{}, fmt.Errorf("share.url %w", err)
	}
	tlsConfig, err := c.tlsConfig(p)
	if err != nil {
		return rueidis.ClientOption{}, err
	}
	o := rueidis.ClientOption{
		InitAddress:       []string{p.address},
		TLSConfig:         tlsConfig,
		Username:          c.Username,
		Password:          c.Password.Reveal(),
		SelectDB:          p.database,
		ClientName:        "xoauth2-proxy",
		ClientSetInfo:     rueidis.DisableClientSetInfo,
		Dialer:            net.Dialer{Timeout: stuckAfter, KeepAlive: time.Second},
		ConnWriteTimeout:  stuckAfter,
		PipelineMultiplex: -1, // one connection
		BlockingPipeline:  -1, // none of its own for long pipelines
		AlwaysPipelining:  true,
		DisableRetry:      true,
		DisableCache:      true,
		ForceSingleClient: true,
		// 64 KiB hold some hundred reports.
		ReadBufferEachConn: 64 << 10, WriteBufferEachConn: 64 << 10,
	}
	if p.network == "unix" {
		o.DialCtxFn = dialUnix
	}
	return o, nil
}

// Close ends the connection.
func (s *Store) Close() error {
	s.client.Close()
	return nil
}

// call is a script with what it is run on.
type call struct {
	keys, args []string
}

// run runs a script, and returns the values of its answer, of which there are least or more:
// the epoch, and what the script says. After an error it may have been run, or may be later.
func (s *Store) run(ctx context.Context, sc *script, least int, keys []string, args ...string) ([]string, error) {
	results, err := s.runAll(ctx, sc, []call{{keys, args}})
	if err != nil {
		return nil, err
	}
	return texts(results[0], least)
}

// patience ends with ctx, and after share.CallTimeout if ctx has no deadline.
func patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, share.CallTimeout)
}

// ask runs a command that changes nothing.
func (s *Store) ask(ctx context.Context, c rueidis.Completed, least int) ([]string, error) {
	ctx, cancel := patience(ctx)
	defer cancel()
	r := s.client.Do(ctx, c)
	if err := r.Error(); err != nil {
		return nil, storeError(err)
	}
	return texts(r, least)
}

// runAll runs a script on each of calls, in one round trip; in two if the server does not
// know it yet.
func (s *Store) runAll(ctx context.Context, sc *script, calls []call) ([]rueidis.RedisResult, error) {
	ctx, cancel := patience(ctx)
	defer cancel()
	results := s.client.DoMulti(ctx, s.commands(sc, calls)...)
	var unknown []int // they have not been run
	for i, r := range results {
		err := r.Error()
		if answer, ok := rueidis.IsRedisErr(err); ok && answer.IsNoScript() {
			unknown = append(unknown, i)
		} else if err != nil {
			return nil, storeError(err)
		}
	}
	if len(unknown) == 0 {
		return results, nil
	}
	again := make([]call, len(unknown))
	for i, at := range unknown {
		again[i] = calls[at]
	}
	load := s.client.B().ScriptLoad().Script(sc.text).Build()
	answers := s.client.DoMulti(ctx, append([]rueidis.Completed{load}, s.commands(sc, again)...)...)
	for i, r := range answers {
		if err := r.Error(); err != nil {
			return nil, storeError(err)
		}
		if i > 0 {
			results[unknown[i-1]] = r
		}
	}
	return results, nil
}

func (s *Store) commands(sc *script, calls []call) []rueidis.Completed {
	list := make([]rueidis.Completed, len(calls))
	for i, c := range calls {
		list[i] = s.client.B().Evalsha().Sha1(sc.sum).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
	}
	return list
}

// storeError says what failed, on one line. A server's text quotes no secret: the password
// is sent in HELLO alone, whose errors do not repeat it.
func storeError(err error) error {
	if answer, ok := rueidis.IsRedisErr(err); ok {
		text := oneline.Cut(oneline.Text(answer.Error(), '?'), maxErrorText)
		return fmt.Errorf("the store refuses: %s", text)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("no answer of the store: %w", err)
	}
	return fmt.Errorf("cannot reach the store: %w", err)
}

func dialUnix(ctx context.Context, address string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
	return d.DialContext(ctx, "unix", address)
}
