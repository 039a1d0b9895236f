package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/account"
)

// HandleAPI adds the routes of the admin API. Like Handle it is for the time
// before Start.
func (s *Server) HandleAPI(api API) {
	a := &apiRoutes{server: s, api: api, calls: make(chan struct{}, maxCalls)}
	s.Handle(fasthttp.MethodGet, "/admin/accounts", a.list)
	s.Handle(fasthttp.MethodPost, "/admin/accounts", a.add)
	s.Handle(fasthttp.MethodDelete, "/admin/accounts", a.removeAll)
	s.Handle(fasthttp.MethodPost, "/admin/accounts/batch", a.addBatch)
	s.Handle(fasthttp.MethodDelete, "/admin/accounts/invalid", a.removeInvalid)
	s.Handle(fasthttp.MethodPost, "/admin/accounts/verify", a.verifyOne)
	s.Handle(fasthttp.MethodGet, "/admin/info", a.info)
	s.Handle(fasthttp.MethodGet, "/admin/forecast", a.forecast)
	s.Handle(fasthttp.MethodGet, "/admin/accounts/{email}", a.state)
	s.Handle(fasthttp.MethodDelete, "/admin/accounts/{email}", a.remove)
	for _, order := range []Order{Pause, Resume, Drain} {
		s.Handle(fasthttp.MethodPost, "/admin/accounts/{email}/"+string(order), a.order(order))
	}
	s.Handle(fasthttp.MethodGet, "/admin/tenants", a.tenants)
	s.Handle(fasthttp.MethodGet, "/admin/nodes", a.nodes)
	s.Handle(fasthttp.MethodPost, "/admin/reload", a.reload)
	s.Handle(fasthttp.MethodPost, "/admin/upgrade", a.upgrade)
	s.Handle(fasthttp.MethodGet, "/admin/log/level", a.logLevel)
	s.Handle(fasthttp.MethodPut, "/admin/log/level", a.setLogLevel)
}

// apiRoutes are the handlers of the admin API.
type apiRoutes struct {
	server *Server
	api    API
	calls  chan struct{} // holds one for each call that within has begun
}

// maxCalls is how many calls of within may run at one time, those included whose
// request has been answered with ErrUnavailable.
const maxCalls = 64

// within returns the result of call, or ErrUnavailable if that takes longer than
// Config.CallTimeout. The call then goes on.
func within[T any](a *apiRoutes, call func() (T, error)) (out T, err error) {
	select {
	case a.calls <- struct{}{}:
	default: // maxCalls hang
		return out, ErrUnavailable
	}
	type answer struct {
		out T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		defer func() { <-a.calls }()
		defer func() {
			if p := recover(); p != nil {
				a.server.panicked(p)
				done <- answer{err: errInternal}
			}
		}()
		out, err := call()
		done <- answer{out, err}
	}()
	limit := time.NewTimer(a.server.cfg.CallTimeout)
	defer limit.Stop()
	select {
	case got := <-done:
		return got.out, got.err
	case <-limit.C:
		return out, ErrUnavailable
	}
}

// email returns the address in the path; it answers 400 if it is none.
func email(ctx *fasthttp.RequestCtx) (string, bool) {
	address, _ := ctx.UserValue("email").(string)
	if !isEmail(address) {
		WriteError(ctx, fasthttp.StatusBadRequest, "invalid email format")
		return "", false
	}
	return address, true
}

// isEmail checks what the original checks, and that there is a local part.
func isEmail(s string) bool {
	at := strings.LastIndexByte(s, '@')
	return at > 0 && at < len(s)-1 && !strings.ContainsAny(s, " \t\r\n")
}

// flag reads a boolean of the query.
func flag(ctx *fasthttp.RequestCtx, name string) bool {
	return strings.EqualFold(string(ctx.QueryArgs().Peek(name)), "true")
}

// decode reads a JSON body into v. The error repeats none of it, since it may
// be a secret.
func decode(ctx *fasthttp.RequestCtx, v any) error {
	return decodeJSON(ctx.PostBody(), v)
}

func decodeJSON(body []byte, v any) error {
	if !utf8.Valid(body) { // package json would put other letters in their place
		return errors.New("invalid JSON: it is not in UTF-8")
	}
	err := json.Unmarshal(body, v)
	if err == nil {
		return nil
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("invalid JSON: a JSON %s is wanted here", kindOf(v))
		}
		return fmt.Errorf("invalid JSON: the field %q must be of type %s", wrong.Field, wrong.Type)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("invalid JSON: at octet %d", syntax.Offset)
	}
	return errors.New("invalid JSON")
}

func kindOf(v any) string {
	if _, array := v.(*[]json.RawMessage); array {
		return "array"
	}
	return "object"
}

// checkNew returns what is wrong with a new account, in the words of the original.
func (a *apiRoutes) checkNew(n *NewAccount) error {
	var missing []string
	for _, f := range []struct{ name, value string }{
		{"email", n.Email}, {"provider", n.Provider}, {"client_id", n.ClientID}, {"refresh_token", n.RefreshToken},
	} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	switch {
	case len(missing) > 0:
		return fmt.Errorf("missing required fields: %s", strings.Join(missing, ", "))
	case !isEmail(n.Email):
		return errors.New("invalid email format")
	}
	return a.api.Check(n)
}

// describe returns the account that the API has under that address.
func (a *apiRoutes) describe(address string) (Account, bool) {
	key := account.FoldLogin(address)
	for _, have := range a.api.Accounts() {
		if account.FoldLogin(have.Email) == key {
			return have, true
		}
	}
	return Account{}, false
}

// fail answers a request that the API could not carry out.
func fail(ctx *fasthttp.RequestCtx, err error) {
	status := fasthttp.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNotFound):
		status = fasthttp.StatusNotFound
	case errors.Is(err, ErrExists), errors.Is(err, ErrCrossed), errors.Is(err, ErrConflict):
		status = fasthttp.StatusConflict
	case errors.Is(err, ErrKeys), errors.Is(err, ErrRedirect):
		status = fasthttp.StatusBadRequest
	case errors.Is(err, ErrUnavailable):
		status = fasthttp.StatusServiceUnavailable
	}
	WriteError(ctx, status, err.Error())
}
