package admin

import (
	"fmt"

	"github.com/valyala/fasthttp"
)

// state tells what is known about one account.
func (a *apiRoutes) state(ctx *fasthttp.RequestCtx) {
	address, ok := email(ctx)
	if !ok {
		return
	}
	st, err := within(a, func() (*State, error) { return a.api.State(address) })
	if err != nil {
		fail(ctx, err)
		return
	}
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool `json:"success"`
		*State
	}{true, st})
}

// tenants tells how much of its limit each tenant has used.
func (a *apiRoutes) tenants(ctx *fasthttp.RequestCtx) {
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool     `json:"success"`
		Tenants []Tenant `json:"tenants"`
	}{true, a.api.Tenants()})
}

// orderDone says what an order means.
var orderDone = map[Order]string{
	Pause:  "%s is paused: logins and new messages get 451 until it is resumed",
	Resume: "%s takes mail",
	Drain:  "%s is draining: logins and new messages get 451, its connections are closed",
}

// order pauses, resumes or drains an account.
func (a *apiRoutes) order(order Order) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		address, ok := email(ctx)
		if !ok {
			return
		}
		hold, err := within(a, func() (*Hold, error) { return a.api.Order(address, order) })
		if err != nil {
			fail(ctx, err)
			return
		}
		done := fmt.Sprintf(orderDone[order], address)
		if hold.Untold {
			done += "; the other proxies are told when the store of the shared limits answers"
		}
		WriteJSON(ctx, fasthttp.StatusOK, struct {
			Success bool   `json:"success"`
			Message string `json:"message"`
			Email   string `json:"email"`
			Hold    *Hold  `json:"hold"`
		}{true, done, address, hold})
	}
}

// reload reads the files again.
func (a *apiRoutes) reload(ctx *fasthttp.RequestCtx) {
	done, err := a.api.Reload(ctx.QueryArgs().GetBool("accept_removals"))
	if err != nil {
		WriteError(ctx, fasthttp.StatusUnprocessableEntity, err.Error())
		return
	}
	if done.RestartNeeded == nil {
		done.RestartNeeded = []string{}
	}
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool   `json:"success"`
		Message string `json:"message"`
		*Reloaded
	}{true, "Reloaded successfully", done})
}

// level is the body of both log level routes.
type level struct {
	Success bool   `json:"success"`
	Level   string `json:"level"`
}

func (a *apiRoutes) logLevel(ctx *fasthttp.RequestCtx) {
	WriteJSON(ctx, fasthttp.StatusOK, level{true, a.api.LogLevel()})
}

func (a *apiRoutes) setLogLevel(ctx *fasthttp.RequestCtx) {
	var want struct {
		Level string `json:"level"`
	}
	err := decode(ctx, &want)
	if err == nil {
		err = a.api.SetLogLevel(want.Level)
	}
	if err != nil {
		WriteError(ctx, fasthttp.StatusBadRequest, err.Error())
		return
	}
	a.logLevel(ctx)
}
