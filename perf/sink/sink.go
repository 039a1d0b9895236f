// Package sink is an SMTP submission server that takes everything and keeps nothing:
// the far end of the comparisons, as cheap as it can be. It serves
//
//   - a clear-text port, with AUTH PLAIN and LOGIN if a client wants it, and
//   - a port with STARTTLS and AUTH XOAUTH2, which accepts every token,
//
// with PIPELINING, CHUNKING and SIZE on both, and over HTTP
//
//	POST /token   an access token for every client (RFC 6749 section 5.1)
//	GET  /count   the number of messages taken since the start
//
// With --pace it takes that long to answer the end of a message, as a provider at
// a distance does. It says where it listens in one line of JSON on standard output, writes the
// certificate to trust to --ca, and ends on SIGTERM. It listens on loopback
// only. For a provider that is strict, use the sandbox.
package sink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/listen"
	"xoauth2-proxy/internal/testkit"
)

// addresses is the line on standard output.
type addresses struct {
	Plain string `json:"plain"`
	TLS   string `json:"tls"`
	HTTP  string `json:"http"`
}

// Command is the command line.
type Command struct {
	CA   string        `name:"ca" placeholder:"FILE" help:"Write the certificate of the STARTTLS port, PEM, to this file."`
	Pace time.Duration `help:"How long to take to answer the end of a message."`
}

// Run serves until SIGTERM or SIGINT.
func (c *Command) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := start(c.CA, c.Pace)
	if err != nil {
		return err
	}
	defer s.close()
	if err := json.NewEncoder(os.Stdout).Encode(s.addresses); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// A sink is the running server.
type sink struct {
	addresses addresses
	messages  atomic.Int64
	pace      time.Duration // of the answer to the end of a message
	listeners []net.Listener
}

// start listens on free ports and serves them. caFile may be empty.
func start(caFile string, pace time.Duration) (*sink, error) {
	config, err := newTLS(caFile)
	if err != nil {
		return nil, err
	}
	s := &sink{pace: pace}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.close()
			return nil, err
		}
		s.listeners = append(s.listeners, l)
	}
	at := func(i int) string { return s.listeners[i].Addr().String() }
	s.addresses = addresses{at(0), at(1), at(2)}
	go listen.Accept(s.listeners[0], nil, func(conn net.Conn) { go (&session{sink: s, conn: conn}).serve() })
	go listen.Accept(s.listeners[1], nil, func(conn net.Conn) { go (&session{sink: s, conn: conn, tls: config}).serve() })
	go func() { _ = http.Serve(s.listeners[2], s.api()) }() // ends with its listener
	return s, nil
}

// newTLS makes a certificate and writes it to caFile if that is not empty.
func newTLS(caFile string) (*tls.Config, error) {
	cert := testkit.Certificate("localhost", "127.0.0.1")
	if caFile != "" {
		if err := durable.Create(caFile, testkit.PublicPEM(cert)); err != nil {
			return nil, err
		}
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// close ends listening; sessions end with their clients.
func (s *sink) close() {
	for _, l := range s.listeners {
		l.Close()
	}
}

// api is the HTTP side.
func (s *sink) api() http.Handler {
	mux := http.NewServeMux()
	var tokens atomic.Int64
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3599}`, tokens.Add(1))
	})
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.messages.Load()) })
	return mux
}
