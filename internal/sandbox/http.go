package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// httpServer serves the token endpoint and the API. It accepts by itself, as a
// listening fasthttp.Server leaves goroutines behind for a while.
type httpServer struct {
	srv    *Server
	addr   string
	server fasthttp.Server
	conns  *wait.Conns
}

func newHTTPServer(s *Server, addr string) (*httpServer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	h := &httpServer{srv: s, addr: ln.Addr().String(), conns: wait.NewConns()}
	h.server = fasthttp.Server{
		Handler:               h.serve,
		NoDefaultServerHeader: true,
		NoDefaultDate:         true, // its clock would outlive the server
		Logger:                log.New(io.Discard, "", 0),
	}
	return h, h.conns.Serve(ln, func(c *net.TCPConn) func() {
		return func() { _ = h.server.ServeConn(c) } // an error: the client or a fault ended the connection early
	})
}

// quiet waits until no connection is left of those that were begun before.
func (h *httpServer) quiet(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	// Connections are accepted in order: after this answer, those before were.
	if _, err := io.WriteString(conn, "GET /stats HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, conn); err != nil {
		return err
	}
	return h.conns.UntilNone(ctx)
}

// serve routes one request.
func (h *httpServer) serve(ctx *fasthttp.RequestCtx) {
	path := strings.TrimSuffix(string(ctx.Path()), "/")
	method := string(ctx.Method())
	if path == "/token" || strings.HasSuffix(path, "/token") { // also /common/oauth2/v2.0/token
		h.serveToken(ctx)
		return
	}
	s := h.srv
	switch {
	case strings.HasSuffix(path, "/devicecode") && method == "POST": // also /common/oauth2/v2.0/devicecode
		h.serveDeviceCode(ctx)
	case strings.HasSuffix(path, "/authorize") && method == "GET":
		h.serveAuthorize(ctx)
	case path == "/consent":
		h.serveConsent(ctx)
	case path == "/messages" && method == "GET":
		h.listMessages(ctx)
	case path == "/messages" && method == "DELETE":
		answer(ctx, s.ClearMessages(), map[string]bool{"cleared": true})
	case strings.HasPrefix(path, "/messages/") && method == "GET":
		h.getMessage(ctx, strings.TrimPrefix(path, "/messages/"))
	case path == "/loads" && method == "GET":
		sendJSON(ctx, 200, s.Loads())
	case strings.HasPrefix(path, "/loads/") && method == "GET":
		if l, ok := s.Load(strings.TrimPrefix(path, "/loads/")); ok {
			sendJSON(ctx, 200, l)
			return
		}
		sendError(ctx, 404, "no message of that run came")
	case path == "/stats" && method == "GET":
		sendJSON(ctx, 200, s.Stats())
	case path == "/accounts" && method == "GET":
		sendJSON(ctx, 200, s.accountList())
	case path == "/commands" && method == "GET":
		sendJSON(ctx, 200, s.Commands())
	case path == "/faults" && method == "GET":
		sendJSON(ctx, 200, s.Faults())
	case path == "/faults" && method == "POST":
		h.postFaults(ctx)
	case path == "/faults" && method == "DELETE":
		s.ClearFaults()
		sendJSON(ctx, 200, []FaultStatus{})
	case path == "/latency" && method == "PUT":
		var l Latency
		if decodeStrict(ctx, &l) {
			s.SetLatency(l)
			sendJSON(ctx, 200, l)
		}
	default:
		sendError(ctx, 404, method+" "+path+" is not served here")
	}
}

func (h *httpServer) listMessages(ctx *fasthttp.RequestCtx) {
	account := string(ctx.QueryArgs().Peek("account"))
	after, err := ctx.QueryArgs().GetUint("after")
	if err != nil && !errors.Is(err, fasthttp.ErrNoArgValue) {
		sendError(ctx, 400, "after is not a number")
		return
	}
	list := []*Message{}
	for _, m := range h.srv.Messages() {
		if (account == "" || strings.EqualFold(account, m.Account)) && (err != nil || m.ID > uint64(after)) {
			list = append(list, m)
		}
	}
	sendJSON(ctx, 200, list)
}

func (h *httpServer) getMessage(ctx *fasthttp.RequestCtx, path string) {
	num, raw := strings.CutSuffix(path, "/raw")
	id, err := strconv.ParseUint(num, 10, 64)
	if err != nil {
		sendError(ctx, 400, "a message id is a number")
		return
	}
	m := h.srv.Message(id)
	switch {
	case m == nil:
		sendError(ctx, 404, "no such message")
	case !raw:
		sendJSON(ctx, 200, m)
	case m.BodyDropped:
		sendError(ctx, 410, "the content was dropped to bound memory")
	default:
		ctx.SetContentType("message/rfc822")
		ctx.SetBody(m.Body)
	}
}

func (h *httpServer) postFaults(ctx *fasthttp.RequestCtx) {
	var rules []Rule
	if !decodeStrict(ctx, &rules) {
		return
	}
	answer(ctx, h.srv.SetFaults(rules...), map[string]int{"rules": len(rules)})
}

// accountState is an account without its secrets.
type accountState struct {
	ID       string `json:"account_id"`
	Provider string `json:"provider"`
	Endpoint string `json:"endpoint"`
	ClientID string `json:"client_id"`
	mailbox.Stats
}

func (s *Server) accountList() []accountState {
	list := []accountState{}
	for _, m := range s.Mailboxes() {
		list = append(list, accountState{m.ID, m.Provider, m.Endpoint, m.ClientID, m.Stats()})
	}
	return list
}

// decodeStrict reads the JSON body into v, or answers 400.
func decodeStrict(ctx *fasthttp.RequestCtx, v any) bool {
	dec := json.NewDecoder(strings.NewReader(string(ctx.PostBody())))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		sendError(ctx, 400, err.Error())
		return false
	}
	return true
}

// answer sends v, or err as a 400.
func answer(ctx *fasthttp.RequestCtx, err error, v any) {
	if err != nil {
		sendError(ctx, 400, err.Error())
		return
	}
	sendJSON(ctx, 200, v)
}

func sendError(ctx *fasthttp.RequestCtx, status int, text string) {
	sendJSON(ctx, status, map[string]string{"error": text})
}
