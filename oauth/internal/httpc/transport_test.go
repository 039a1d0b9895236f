package httpc

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"xoauth2-proxy/internal/testkit"
	"xoauth2-proxy/oauth/internal/tokentest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testConfig() Config {
	return Config{Timeout: 5 * time.Second, ConnectTimeout: 5 * time.Second, IdleTimeout: time.Minute, ConnectionsPerHost: 32}
}

func testTransport(t *testing.T, cfg Config) *Transport {
	tr := New(cfg)
	t.Cleanup(tr.Close)
	return tr
}

func post(ctx context.Context, tr *Transport, u string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u, strings.NewReader("a=b"))
	if err != nil {
		return nil, err
	}
	return tr.RoundTrip(req)
}

func TestTransportReusesConnection(t *testing.T) {
	var conns atomic.Int32
	addr := testkit.Serve(t, func(_ int, c net.Conn) {
		conns.Add(1)
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(c, tokentest.HTTPToken)
		}
	})
	postThrice(t, addr, &conns, 1)
}

// postThrice posts over one transport, which must make that many connections.
func postThrice(t *testing.T, addr string, conns *atomic.Int32, want int32) {
	t.Helper()
	tr := testTransport(t, testConfig())
	for range 3 {
		if _, err := post(t.Context(), tr, "http://"+addr); err != nil {
			t.Fatal(err)
		}
	}
	if n := conns.Load(); n != want {
		t.Errorf("%d connections, want %d", n, want)
	}
}

// The server answers one request on each connection and closes it, without a
// word, when the next one comes.
func TestTransportRepeatsOnStaleConnection(t *testing.T) {
	var conns atomic.Int32
	addr := testkit.Serve(t, func(_ int, c net.Conn) {
		conns.Add(1)
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, tokentest.HTTPToken)
		_, _ = br.Peek(1)
	})
	postThrice(t, addr, &conns, 3)
}

func TestTransportDoesNotRepeat(t *testing.T) {
	tests := []struct {
		name, reply string // before the connection ends
		want        error
	}{
		{"new connection ends without reply", "", ErrConnectionLost},
		{"reply cut in the header", "HTTP/1.1 200 OK\r\nContent-", ErrConnectionLost},
		{"reply cut in the body", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", ErrConnectionLost},
		{"not HTTP", "220 mail.example.com ESMTP\r\n\r\n", ErrMalformedReply},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var requests atomic.Int32
			addr := testkit.Serve(t, func(_ int, c net.Conn) {
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, r.Body)
				requests.Add(1)
				_, _ = io.WriteString(c, tt.reply)
			})
			_, err := post(t.Context(), testTransport(t, testConfig()), "http://"+addr)
			if !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestTransportBodyLimit(t *testing.T) {
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, MaxReply+1))
	})
	if _, err := post(t.Context(), testTransport(t, testConfig()), ts.URL); !errors.Is(err, ErrReplyTooLarge) {
		t.Errorf("err = %v, want %v", err, ErrReplyTooLarge)
	}
}

func TestTransportObeysContext(t *testing.T) {
	tests := []struct {
		name string
		ctx  func(t *testing.T, asked <-chan struct{}) context.Context
		want error
	}{
		{"deadline", func(t *testing.T, _ <-chan struct{}) context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			t.Cleanup(cancel)
			return ctx
		}, context.DeadlineExceeded},
		{"cancelled while waiting for the reply", func(t *testing.T, asked <-chan struct{}) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-asked
				cancel()
			}()
			return ctx
		}, context.Canceled},
		{"over before it began", func(t *testing.T, _ <-chan struct{}) context.Context {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx
		}, context.Canceled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan struct{})
			addr := testkit.Serve(t, func(_ int, c net.Conn) {
				br := bufio.NewReader(c)
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				close(asked)
				_, _ = io.Copy(io.Discard, br) // no reply ever
			})
			_, err := post(tt.ctx(t, asked), testTransport(t, testConfig()), "http://"+addr)
			if !errors.Is(err, tt.want) {
				t.Errorf("err = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCheckTokenURL(t *testing.T) {
	tests := []struct {
		url string
		ok  bool
	}{
		{"https://login.example.com/token", true},
		{"https://192.0.2.1:8443/token", true},
		{"http://127.0.0.1:8080/token", true},
		{"http://127.8.8.8/token", true},
		{"http://[::1]:8080/token", true},
		{"http://localhost:8080/token", true},
		{"http://login.example.com/token", false},
		{"http://192.0.2.1/token", false},
		{"http://localhost.example.com/token", false},
		{"http://127.0.0.1.example.com/token", false},
		{"https://user:password@login.example.com/token", false},
		{"https:///token", false},
		{"ftp://127.0.0.1/token", false},
		{"/token", false},
		{"", false},
	}
	for _, tt := range tests {
		t.Run(tt.url, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if err := checkURL(u); (err == nil) != tt.ok {
				t.Errorf("err = %v, want ok = %v", err, tt.ok)
			}
			if tt.ok {
				return
			}
			if CheckURL(tt.url) == nil {
				t.Error("CheckURL lets it through")
			}
			_, err = testTransport(t, testConfig()).RoundTrip(&http.Request{Method: http.MethodPost, URL: u})
			if !errors.Is(err, ErrURL) {
				t.Errorf("RoundTrip: %v, want %v", err, ErrURL)
			}
		})
	}
}

// A name that is allowed in the clear must not lead off the machine.
func TestRefuseRemote(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false, "[2001:db8::1]:80": false} {
		if err := refuseRemote("tcp", addr, nil); (err == nil) != ok {
			t.Errorf("%s: %v, want ok = %v", addr, err, ok)
		}
	}
}

func isCAFile(err error) bool { return errors.Is(err, ErrCAFile) }

func isUntrusted(err error) bool {
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok && errors.Is(err, ErrConnect)
}

func TestTransportTLS(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.StartTLS()
	caFile := tokentest.CAFile(t, ts)
	tests := []struct {
		name  string
		set   func(*Config)
		fault func(error) bool // nil: none
	}{
		{"authority given", func(c *Config) { c.ExtraCAs = []*x509.Certificate{ts.Certificate()} }, nil},
		{"authority in a file", func(c *Config) { c.CAFile = caFile }, nil},
		{"authority not known", func(*Config) {}, isUntrusted},
		{"file missing", func(c *Config) { c.CAFile = caFile + ".none" }, isCAFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig()
			tt.set(&cfg)
			tr := testTransport(t, cfg)
			_, err := post(t.Context(), tr, ts.URL)
			if tt.fault == nil && err != nil || tt.fault != nil && !tt.fault(err) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestTransportRefusesOldTLS(t *testing.T) {
	ts := tokentest.NewUnstartedServer(t)
	ts.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	ts.StartTLS()
	cfg := testConfig()
	cfg.ExtraCAs = []*x509.Certificate{ts.Certificate()}
	if _, err := post(t.Context(), testTransport(t, cfg), ts.URL); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

// Parked connections are closed when they were not used for long enough.
func TestTransportClosesIdle(t *testing.T) {
	ended := make(chan struct{})
	addr := testkit.Serve(t, func(_ int, c net.Conn) {
		br := bufio.NewReader(c)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(c, tokentest.HTTPToken)
		_, _ = io.Copy(io.Discard, br)
		close(ended)
	})
	cfg := testConfig()
	cfg.IdleTimeout = 20 * time.Millisecond
	if _, err := post(t.Context(), testTransport(t, cfg), "http://"+addr); err != nil {
		t.Fatal(err)
	}
	<-ended
}

func TestTransportConnectionsPerHost(t *testing.T) {
	var now, most atomic.Int32
	ts := tokentest.NewServer(t)
	ts.SetAnswer(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		tokentest.GiveToken(w, map[string]any{"access_token": "A"})
	})
	cfg := testConfig()
	cfg.ConnectionsPerHost = 2
	tr := testTransport(t, cfg)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := post(t.Context(), tr, ts.URL); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := most.Load(); n > 2 {
		t.Errorf("%d requests at one time, want at most 2", n)
	}
}
