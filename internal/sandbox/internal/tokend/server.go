package tokend

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Config rules the token endpoint.
type Config struct {
	// Lifetime of an access token, sent as expires_in. Default: 3599s.
	Lifetime wait.Duration `json:"lifetime"`
	// Rotation is "preset" (default): a new refresh token with every answer for
	// outlook accounts and none for gmail; or "on"; or "off".
	Rotation string `json:"rotation"`
	// Length of access tokens in characters. Default: about as long as the
	// provider's, 220 for gmail and 1800 for outlook.
	Length int `json:"length"`
	// Consent is "auto" (default): consent is given at once; or "manual": it waits
	// for Server.Consent or the page at /consent.
	Consent string `json:"consent"`
	// DevicePoll is the polling interval of device codes, in whole seconds: a client
	// that asks sooner is told to slow down. Default: 5s.
	DevicePoll wait.Duration `json:"device_poll"`
	// CodeLifetime is how long device and authorization codes are good.
	// Default: 10m.
	CodeLifetime wait.Duration `json:"code_lifetime"`
	// InvalidateOld makes a refresh token invalid once it was rotated. Default:
	// false, as at Microsoft.
	InvalidateOld bool `json:"invalidate_old"`
}

// WithDefaults returns c with its defaults filled in.
func (c Config) WithDefaults() Config {
	c.Lifetime = cmp.Or(c.Lifetime, wait.Duration(3599*time.Second))
	c.Rotation = cmp.Or(c.Rotation, "preset")
	c.Consent = cmp.Or(c.Consent, "auto")
	c.DevicePoll = cmp.Or(c.DevicePoll, wait.Duration(5*time.Second))
	c.CodeLifetime = cmp.Or(c.CodeLifetime, wait.Duration(10*time.Minute))
	return c
}

// Stats are the counters of a token endpoint.
type Stats struct {
	TokenRequests int64 `json:"token_requests"`
	TokensIssued  int64 `json:"tokens_issued"`
}

// Server is a token endpoint at work. Its methods may be called from any
// goroutine.
type Server struct {
	cfg    Config
	now    func() time.Time
	boxes  *mailbox.Directory
	faults *fault.Script
	others fasthttp.RequestHandler
	addr   string
	http   fasthttp.Server
	conns  *wait.Conns

	grants           *grants
	consents         consents
	requests, issued atomic.Int64
}

// New makes a token endpoint; Listen starts it. cfg has its defaults filled in;
// now is the clock of tokens and codes; others serves all paths that do not belong
// to OAuth2.
func New(cfg Config, now func() time.Time, boxes *mailbox.Directory, faults *fault.Script,
	others fasthttp.RequestHandler) *Server {
	s := &Server{cfg: cfg, now: now, boxes: boxes, faults: faults, others: others, conns: wait.NewConns(),
		grants: newGrants(cfg, now), consents: consents{pending: map[string]*consent{}}}
	s.http = fasthttp.Server{
		Handler:               s.serve,
		NoDefaultServerHeader: true,
		NoDefaultDate:         true, // its clock would outlive the server
		Logger:                log.New(io.Discard, "", 0),
	}
	return s
}

// Listen starts to serve a TCP address. It is called once.
func (s *Server) Listen(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.addr = ln.Addr().String()
	// fasthttp.Server.Serve would leave goroutines running for a while.
	return s.conns.Serve(ln, func(c *net.TCPConn) func() {
		return func() { _ = s.http.ServeConn(c) } // an error: the client or a fault ended the connection early
	})
}

// Close ends the listener and all connections, and waits for them.
func (s *Server) Close() { s.conns.Close() }

// HTTPAddr returns the address of the token endpoint and the API.
func (s *Server) HTTPAddr() string { return s.addr }

// TokenURL returns the URL of the token endpoint.
func (s *Server) TokenURL() string { return "http://" + s.addr + "/token" }

// Stats returns the counters.
func (s *Server) Stats() Stats { return Stats{s.requests.Load(), s.issued.Load()} }

// WaitHTTPQuiet waits until no HTTP connection is open. After it, no request of a
// client that died is still to be answered.
func (s *Server) WaitHTTPQuiet(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Connections are accepted in order: after this answer, the earlier ones were.
	if _, err := io.WriteString(conn, "GET /stats HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return err
	}
	return s.conns.UntilNone(ctx)
}

// serve routes one request. The endpoints are served under any path, also
// /common/oauth2/v2.0/token.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	path := strings.TrimSuffix(string(ctx.Path()), "/")
	switch {
	case strings.HasSuffix(path, "/token"):
		s.serveToken(ctx)
	case strings.HasSuffix(path, "/devicecode") && ctx.IsPost():
		s.serveDeviceCode(ctx)
	case strings.HasSuffix(path, "/authorize") && ctx.IsGet():
		s.serveAuthorize(ctx)
	case path == "/consent":
		s.serveConsent(ctx)
	default:
		s.others(ctx)
	}
}

// SendJSON answers with a JSON object, not to be cached (RFC 6749 section 5.1).
func SendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		ctx.Error(err.Error(), 500)
		return
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetBody(append(b, '\n'))
}

// SendError answers with {"error": text}.
func SendError(ctx *fasthttp.RequestCtx, status int, text string) {
	SendJSON(ctx, status, map[string]string{"error": text})
}
