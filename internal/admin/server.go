package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http/pprof"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"github.com/valyala/fasthttp/pprofhandler"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/listen"
)

// pprofIndex is the page that links the profiles.
var pprofIndex = fasthttpadaptor.NewFastHTTPHandlerFunc(pprof.Index)

// maxHeader caps the header of a request in octets; more gets 431.
const maxHeader = 16 << 10

// Server is the admin server: New, Handle, Start, Close, in this order.
type Server struct {
	cfg      Config
	log      *zap.Logger
	notReady func() []string
	stuck    func() []string // nil: no part is watched
	warnings func() []string // nil: there are none
	sets     []*metrics.Set
	router   router
	http     *fasthttp.Server
	token    atomic.Pointer[[sha256.Size]byte] // hash of the bearer token; nil: none is asked for
	ctx      context.Context                   // of long requests; ends when Close is called
	cancel   context.CancelFunc

	listeners []*listener    // the address, and the admin socket if there is one
	socket    string         // path of the admin socket; "": there is none
	wg        sync.WaitGroup // the accept loops and the connections

	mu      sync.Mutex // guards the fields below, and those of listeners
	closing bool
	paused  bool // another process accepts
	conns   map[net.Conn]*connection
	turn    uint64 // grows with each connection and each request; orders the idle ones
}

// listener is a source of connections, with a cap of its own: clients that fill one
// leave the other open.
type listener struct {
	socket
	name string // what the configuration calls it
	open int    // connections
}

// New returns a server with the routes of this package, or what Validate says
// of cfg. log may be nil. notReady returns why mail is not accepted, nothing
// when it is; it is called for each request of /ready and must not block. Nil
// means always ready. sets are shown beside the default set of package metrics.
func New(cfg Config, log *zap.Logger, notReady func() []string, sets ...*metrics.Set) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = zap.NewNop()
	}
	build := metrics.NewSet()
	buildInfo(build, &cfg)
	s := &Server{cfg: cfg, log: log, notReady: notReady, sets: append([]*metrics.Set{build}, sets...)}
	s.conns = make(map[net.Conn]*connection)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.readyGauge(build)
	s.SetToken(cfg.Token)
	s.http = &fasthttp.Server{
		Handler:               s.serve,
		ErrorHandler:          badRequest,
		ConnState:             s.track,
		Logger:                debugLogger{log},
		Concurrency:           4*cfg.MaxConnections + 1, // add keeps it below, with those that are about to end
		MaxRequestBodySize:    cfg.MaxBody,
		ReadBufferSize:        maxHeader,
		ReadTimeout:           cfg.ReadTimeout,
		WriteTimeout:          cfg.WriteTimeout,
		IdleTimeout:           cfg.IdleTimeout,
		NoDefaultServerHeader: true,
		NoDefaultDate:         true, // of no use here, and it takes a goroutine that never ends
		SecureErrorLogMessage: true, // a request may hold credentials
		// No handler takes forms, and files must not come to the disk unasked.
		DisablePreParseMultipartForm: true,
	}
	s.Handle(fasthttp.MethodGet, "/", s.index)
	s.Handle(fasthttp.MethodGet, "/metrics", s.metrics)
	s.Handle(fasthttp.MethodGet, "/health", s.health)
	s.Handle(fasthttp.MethodGet, "/ready", s.ready)
	if cfg.Pprof {
		s.Handle(fasthttp.MethodGet, "/debug/pprof/", pprofIndex) // which PprofHandler refuses
		s.Handle(fasthttp.MethodGet, "/debug/pprof/{profile...}", pprofhandler.PprofHandler)
		s.Handle(fasthttp.MethodPost, "/debug/pprof/symbol", pprofhandler.PprofHandler)
	}
	return s, nil
}

// Handle adds a route; HEAD is GET without the body. A segment {name} of the
// pattern stands for any one that is not empty, which may have %2F in it, {name...} at the end for the
// rest of the path; the handler finds the value by ctx.UserValue(name). A
// literal segment goes before a parameter. Handle must not be called after
// Start, and panics on a bad pattern or a second handler.
func (s *Server) Handle(method, pattern string, h fasthttp.RequestHandler) {
	s.router.handle(method, pattern, h)
}

// ReportStuck has /health answer 503 while stuck names parts of the process. It is
// called for each request and must not wait for any part. ReportStuck must not be
// called after Start.
func (s *Server) ReportStuck(stuck func() []string) { s.stuck = stuck }

// ReportWarnings has /ready tell what is wrong although mail is accepted. Readiness is
// told to everyone who can connect: warnings name no mailbox. The rest is as for
// ReportStuck.
func (s *Server) ReportWarnings(warnings func() []string) { s.warnings = warnings }

// Start listens and serves in the background. It fails if the address cannot
// be listened on, with ErrNoToken if other machines can reach it and no token is
// asked for, and with ErrSocketInUse if another process has the admin socket.
func (s *Server) Start() error {
	defer s.closeInherited()
	ln, err := s.listen(s.cfg.Address, func() (net.Listener, error) {
		return net.Listen(listen.Network(s.cfg.Address), s.cfg.Address)
	})
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	if !isLoopback(ln.Addr()) && s.token.Load() == nil {
		_ = ln.Close()
		return fmt.Errorf("admin: %v: %w", ln.Addr(), ErrNoToken)
	}
	local, err := s.listenOnSocket()
	if err != nil {
		_ = ln.Close()
		return fmt.Errorf("admin: %w", err)
	}
	s.listeners = append(s.listeners, &listener{socket: ln, name: s.cfg.Address})
	if local != nil {
		s.listeners = append(s.listeners, &listener{socket: local, name: s.socket})
	}
	if s.cfg.Paused {
		return s.Pause()
	}
	for _, l := range s.listeners {
		s.accept(l)
	}
	return nil
}

// accept serves the connections of l until it is closed.
func (s *Server) accept(l *listener) {
	from := l.socket
	s.wg.Go(func() { listen.Accept(from, s.acceptFailed, func(c net.Conn) { s.start(l, c) }) })
}

func (s *Server) acceptFailed(err error) {
	s.log.Warn("cannot accept an admin connection", zap.Error(err))
}

// Addr is the address that the server listens on, after Start.
func (s *Server) Addr() net.Addr { return s.listeners[0].Addr() }

// start serves a connection of l on a goroutine of its own. (fasthttp's own loop has
// goroutines that outlive it.)
func (s *Server) start(l *listener, c net.Conn) {
	if unix, ok := c.(*net.UnixConn); ok {
		local, err := newLocalConn(unix)
		if err != nil {
			s.log.Warn("cannot identify the peer of the admin socket", zap.Error(err))
			_ = c.Close()
			return
		}
		c = local
	}
	if !s.add(l, c) {
		_ = c.Close()
		return
	}
	s.wg.Go(func() {
		err := s.http.ServeConn(c)
		s.remove(c)
		if e := s.log.Check(zap.DebugLevel, "admin connection ended"); e != nil {
			e.Write(zap.Error(err))
		}
	})
}

// Close stops listening, closes idle connections and waits for running requests
// until ctx ends; it then closes their connections too and returns the error of
// ctx, although handlers may still be at work. It may be called more than once.
func (s *Server) Close(ctx context.Context) error {
	if s.listeners == nil {
		return nil
	}
	s.cancel()
	for _, l := range s.listeners {
		_ = l.Close() // an error says that it was closed before
	}
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.closeConns(false)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		s.wg.Wait()
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
	}
	s.closeConns(true)
	return ctx.Err()
}

// serve answers one request. A handler's fault ends that request only.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	defer func() {
		if p := recover(); p != nil {
			s.panicked(p, zap.ByteString("path", ctx.Path()))
			ctx.Response.ResetBody()
			WriteError(ctx, fasthttp.StatusInternalServerError, errInternal.Error())
		}
	}()
	s.begin(ctx.Conn())
	if s.admit(ctx) {
		s.router.serve(ctx)
	}
}

// errInternal is the answer to a request that panicked.
var errInternal = errors.New("internal error")

// panicked logs a panic without its value, which might hold a secret.
func (s *Server) panicked(p any, where ...zap.Field) {
	s.log.Error("admin handler panicked", append(where, zap.String("type", fmt.Sprintf("%T", p)), zap.Stack("stack"))...)
}

// badRequest answers a malformed request.
func badRequest(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		WriteError(ctx, fasthttp.StatusRequestEntityTooLarge, "request body too large")
	case errors.As(err, &small):
		WriteError(ctx, fasthttp.StatusRequestHeaderFieldsTooLarge, "request header too large")
	case errors.As(err, &timeout) && timeout.Timeout():
		WriteError(ctx, fasthttp.StatusRequestTimeout, "request timeout")
	default:
		WriteError(ctx, fasthttp.StatusBadRequest, "malformed request")
	}
}

// debugLogger takes fasthttp's log lines about connections.
type debugLogger struct{ log *zap.Logger }

func (l debugLogger) Printf(format string, args ...any) {
	if e := l.log.Check(zap.DebugLevel, "admin connection"); e != nil {
		e.Write(zap.String("detail", fmt.Sprintf(format, args...)))
	}
}
