package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/tokend"
)

// routes is the answer to GET /.
const routes = `The sandbox serves here:

POST   /token               the token endpoint; also below other paths
POST   /devicecode          consent by a code
GET    /authorize           consent in a browser, which goes on at /consent
GET    /messages            the messages; ?account=EMAIL, ?after=ID
DELETE /messages            forget them
GET    /messages/ID         the envelope of one
GET    /messages/ID/raw     its content
GET    /accounts            the mailboxes, with their counters
GET    /peaks               the most connections of each mailbox at an instant, and messages in a span
DELETE /peaks               count that from now on
GET    /stats               all counters
GET    /commands            the commands of the last sessions, if they are recorded
GET    /loads               the runs of load messages
GET    /loads/RUN           one of them
GET    /faults              the fault script
POST   /faults              replace it
DELETE /faults              take it out
PUT    /latency             delay replies
`

// serveAPI routes a request that does not belong to OAuth2.
func (s *Server) serveAPI(ctx *fasthttp.RequestCtx) {
	path, method := strings.TrimSuffix(string(ctx.Path()), "/"), string(ctx.Method())
	switch {
	case path == "" && method == "GET":
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString(routes)
	case path == "/messages" && method == "GET":
		s.listMessages(ctx)
	case path == "/messages" && method == "DELETE":
		answer(ctx, s.ClearMessages(), map[string]bool{"cleared": true})
	case strings.HasPrefix(path, "/messages/") && method == "GET":
		s.getMessage(ctx, strings.TrimPrefix(path, "/messages/"))
	case path == "/loads" && method == "GET":
		tokend.SendJSON(ctx, 200, s.Loads())
	case strings.HasPrefix(path, "/loads/") && method == "GET":
		if l, ok := s.Load(strings.TrimPrefix(path, "/loads/")); ok {
			tokend.SendJSON(ctx, 200, l)
			return
		}
		tokend.SendError(ctx, 404, "no message of that run came")
	case path == "/peaks" && method == "GET":
		tokend.SendJSON(ctx, 200, s.Peaks())
	case path == "/peaks" && method == "DELETE":
		s.ResetPeaks(s.now())
		tokend.SendJSON(ctx, 200, s.Peaks())
	case path == "/stats" && method == "GET":
		tokend.SendJSON(ctx, 200, s.Stats())
	case path == "/accounts" && method == "GET":
		s.listAccounts(ctx)
	case path == "/commands" && method == "GET":
		tokend.SendJSON(ctx, 200, s.Commands())
	case path == "/faults" && method == "GET":
		tokend.SendJSON(ctx, 200, s.Faults())
	case path == "/faults" && method == "POST":
		var rules []Rule
		if decodeStrict(ctx, &rules) {
			answer(ctx, s.SetFaults(rules...), map[string]int{"rules": len(rules)})
		}
	case path == "/faults" && method == "DELETE":
		s.ClearFaults()
		tokend.SendJSON(ctx, 200, []fault.Status{})
	case path == "/latency" && method == "PUT":
		var l Latency
		if decodeStrict(ctx, &l) {
			s.SetLatency(l)
			tokend.SendJSON(ctx, 200, l)
		}
	default:
		tokend.SendError(ctx, 404, method+" "+path+" is not served here")
	}
}

func (s *Server) listMessages(ctx *fasthttp.RequestCtx) {
	account := string(ctx.QueryArgs().Peek("account"))
	after, err := ctx.QueryArgs().GetUint("after")
	if err != nil && !errors.Is(err, fasthttp.ErrNoArgValue) {
		tokend.SendError(ctx, 400, "after is not a number")
		return
	}
	list := []*Message{}
	for _, m := range s.Messages() {
		if (account == "" || strings.EqualFold(account, m.Account)) && (err != nil || m.ID > uint64(after)) {
			list = append(list, m)
		}
	}
	tokend.SendJSON(ctx, 200, list)
}

func (s *Server) getMessage(ctx *fasthttp.RequestCtx, path string) {
	num, raw := strings.CutSuffix(path, "/raw")
	id, err := strconv.ParseUint(num, 10, 64)
	if err != nil {
		tokend.SendError(ctx, 400, "a message id is a number")
		return
	}
	m := s.Message(id)
	switch {
	case m == nil:
		tokend.SendError(ctx, 404, "no such message")
	case !raw:
		tokend.SendJSON(ctx, 200, m)
	case m.BodyDropped:
		tokend.SendError(ctx, 410, "the content was dropped to bound memory")
	default:
		ctx.SetContentType("message/rfc822")
		ctx.SetBody(m.Body)
	}
}

// listAccounts sends the accounts without their secrets.
func (s *Server) listAccounts(ctx *fasthttp.RequestCtx) {
	type account struct {
		ID       string `json:"account_id"`
		Provider string `json:"provider"`
		Endpoint string `json:"endpoint"`
		ClientID string `json:"client_id"`
		AccountStats
	}
	list := []account{}
	for _, m := range s.Mailboxes() {
		list = append(list, account{m.ID, m.Provider, m.Endpoint, m.ClientID, m.Stats()})
	}
	tokend.SendJSON(ctx, 200, list)
}

// decodeStrict reads the JSON body into v, or answers 400.
func decodeStrict(ctx *fasthttp.RequestCtx, v any) bool {
	dec := json.NewDecoder(bytes.NewReader(ctx.PostBody()))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		tokend.SendError(ctx, 400, err.Error())
		return false
	}
	return true
}

// answer sends v, or err as a 400.
func answer(ctx *fasthttp.RequestCtx, err error, v any) {
	if err != nil {
		tokend.SendError(ctx, 400, err.Error())
		return
	}
	tokend.SendJSON(ctx, 200, v)
}
