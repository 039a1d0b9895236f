package sandbox

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// actToken does what the fault says at the token endpoint.
func (h *httpServer) actToken(ctx *fasthttp.RequestCtx, f *fault.Fault, r *tokenRequest) {
	s := h.srv
	conn := ctx.Conn().(*net.TCPConn)
	if f.Delay > 0 && !wait.Peer(conn, time.Duration(f.Delay), s.done) {
		hangUp(ctx, conn)
		return
	}
	if f.Accept { // the grant is used up, whatever the answer
		s.answerToken(ctx, r)
		ctx.Response.Reset()
	}
	defer alterToken(ctx, f)
	switch f.Action {
	case ActionReply:
		replyToken(ctx, f, r)
	case ActionAlter:
		s.answerToken(ctx, r)
	case ActionInvalidGrant:
		sendJSON(ctx, 400, oauthError(r.shape, "invalid_grant", 700082, "The refresh token has expired or was revoked."))
	case ActionGarbage:
		ctx.SetStatusCode(max(f.Status, 200))
		ctx.SetContentType("text/html")
		ctx.SetBody(f.Garbage())
	case ActionHuge:
		ctx.SetStatusCode(max(f.Status, 200))
		ctx.SetContentType("application/json")
		ctx.SetBodyString(`{"access_token":"` + strings.Repeat("x", f.Size) + `","token_type":"Bearer","expires_in":3599}`)
	case ActionClose, ActionCut:
		hangUp(ctx, conn)
	case ActionReset:
		conn.SetLinger(0)
		hangUp(ctx, conn)
	case ActionStall:
		if !wait.Peer(conn, time.Duration(f.For), s.done) {
			hangUp(ctx, conn)
			return
		}
		s.answerToken(ctx, r)
	case ActionSlow:
		s.answerToken(ctx, r)
		slowBody(ctx, time.Duration(f.Interval), s.done)
	case ActionWrongScope, ActionRevoke:
		if no := s.checkToken(ctx, r); no.code != "" { // also any grant that is no refresh
			s.answerToken(ctx, r)
			return
		}
		token := s.issueToken(ctx, r, f.Action != ActionWrongScope)
		if f.Action == ActionRevoke {
			s.grants.revoke(token)
		}
	}
}

// replyToken answers what the rule says.
func replyToken(ctx *fasthttp.RequestCtx, f *fault.Fault, r *tokenRequest) {
	status := f.Status
	switch {
	case f.Error != "":
		setDefault(&status, 400)
		sendJSON(ctx, status, oauthError(r.shape, f.Error, 90000, f.Body))
	default:
		setDefault(&status, 500)
		ctx.SetStatusCode(status)
		ctx.SetContentType("application/json")
		ctx.SetBodyString(f.Body)
	}
	if f.RetryAfter != "" {
		ctx.Response.Header.Set("Retry-After", f.RetryAfter)
	}
}

// hangUp ends the connection without an answer.
func hangUp(ctx *fasthttp.RequestCtx, conn net.Conn) {
	ctx.SetConnectionClose()
	conn.Close()
}

// slowBody sends the body that is set one byte each interval.
func slowBody(ctx *fasthttp.RequestCtx, interval time.Duration, done <-chan struct{}) {
	body := append([]byte(nil), ctx.Response.Body()...)
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		for _, c := range body {
			select {
			case <-done:
				return
			case <-time.After(interval):
			}
			w.WriteByte(c)
			if w.Flush() != nil {
				return
			}
		}
	})
}

// revoke makes one access token void.
func (g *grants) revoke(token string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.access[token]; t != nil {
		t.scoped = false
	}
}

func aadstsText(number int, text string) string {
	return "AADSTS" + strconv.Itoa(number) + ": " + text
}
