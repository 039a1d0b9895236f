// Sink is an SMTP submission server that takes everything and keeps nothing:
// the far end of the benchmarks, as cheap as it can be. It serves
//
//   - a clear-text port, with AUTH PLAIN and LOGIN if a client wants it, and
//   - a port with STARTTLS and AUTH XOAUTH2, which accepts every token,
//
// with PIPELINING, CHUNKING and SIZE on both, and over HTTP
//
//	POST /token   an access token for whoever asks (RFC 6749 section 5.1)
//	GET  /count   the number of messages taken since the start
//
// With --pace it takes that long to answer the end of a message, as a provider at
// a distance does. It says where it listens in one line of JSON on standard output, writes the
// certificate to trust to --ca, and ends on SIGTERM. It listens on loopback
// only. For a provider that is strict, use the sandbox.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// addresses is the line on standard output.
type addresses struct {
	Plain string `json:"plain"`
	TLS   string `json:"tls"`
	HTTP  string `json:"http"`
}

func main() {
	ca := flag.String("ca", "", "write the certificate of the STARTTLS port, PEM, to this `file`")
	pace := flag.Duration("pace", 0, "how long to take to answer the end of a message")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	s, err := start(*ca, *pace)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(s.addresses)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "sink: %v\n", err)
		os.Exit(1)
	}
	<-ctx.Done()
	s.close()
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
	go s.accept(s.listeners[0], func(conn net.Conn) { (&session{sink: s, conn: conn}).serve() })
	go s.accept(s.listeners[1], func(conn net.Conn) { (&session{sink: s, conn: conn, tls: config}).serve() })
	go func() { _ = http.Serve(s.listeners[2], s.api()) }() // ends with its listener
	return s, nil
}

// close ends listening; sessions end with their clients.
func (s *sink) close() {
	for _, l := range s.listeners {
		l.Close()
	}
}

// accept serves each connection in a goroutine.
func (s *sink) accept(l net.Listener, serve func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go serve(conn)
		}
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
