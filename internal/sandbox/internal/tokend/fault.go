package tokend

import (
	"bufio"
	"cmp"
	"net"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// act does what the fault says.
func (s *Server) act(f *fault.Fault, r *request) {
	conn := r.Conn().(*net.TCPConn)
	if f.Delay > 0 && !wait.Peer(conn, time.Duration(f.Delay), s.conns.Done()) {
		hangUp(r, conn)
		return
	}
	if f.Accept { // the grant is used up before the answer
		s.answer(r)
		r.Response.Reset()
	}
	defer alter(r.RequestCtx, f)
	switch f.Action {
	case fault.ActionReply:
		reply(f, r)
	case fault.ActionAlter:
		s.answer(r)
	case fault.ActionInvalidGrant:
		refuse(r, &refusal{400, "invalid_grant", 700082, "The refresh token has expired or was revoked."})
	case fault.ActionGarbage:
		r.SetStatusCode(max(f.Status, 200))
		r.SetContentType("text/html")
		r.SetBody(f.Garbage())
	case fault.ActionHuge:
		r.SetStatusCode(max(f.Status, 200))
		r.SetContentType("application/json")
		r.SetBodyString(`{"access_token":"` + strings.Repeat("x", f.Size) + `","token_type":"Bearer","expires_in":3599}`)
	case fault.ActionClose, fault.ActionCut:
		hangUp(r, conn)
	case fault.ActionReset:
		conn.SetLinger(0)
		hangUp(r, conn)
	case fault.ActionStall:
		if !wait.Peer(conn, time.Duration(f.For), s.conns.Done()) {
			hangUp(r, conn)
			return
		}
		s.answer(r)
	case fault.ActionSlow:
		s.answer(r)
		slowBody(r, time.Duration(f.Interval), s.conns.Done())
	case fault.ActionWrongScope, fault.ActionRevoke:
		if s.checkRefresh(r) != nil { // also any grant that is no refresh
			s.answer(r)
			return
		}
		token := s.issue(r, f.Action != fault.ActionWrongScope)
		if f.Action == fault.ActionRevoke {
			s.grants.revoke(token)
		}
	}
}

// reply answers with the rule's own status and body.
func reply(f *fault.Fault, r *request) {
	if f.Error != "" {
		refuse(r, &refusal{cmp.Or(f.Status, 400), f.Error, 90000, f.Body})
	} else {
		r.SetStatusCode(cmp.Or(f.Status, 500))
		r.SetContentType("application/json")
		r.SetBodyString(f.Body)
	}
	if f.RetryAfter != "" {
		r.Response.Header.Set("Retry-After", f.RetryAfter)
	}
}

// hangUp ends the connection without an answer.
func hangUp(r *request, conn net.Conn) {
	r.SetConnectionClose()
	conn.Close()
}

// slowBody sends the body that is set one byte each interval.
func slowBody(r *request, interval time.Duration, done <-chan struct{}) {
	body := append([]byte(nil), r.Response.Body()...)
	r.SetBodyStreamWriter(func(w *bufio.Writer) {
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
