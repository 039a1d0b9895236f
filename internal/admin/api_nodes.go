package admin

import (
	"errors"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/share/roster"
)

// nodes tells with which other proxies this one shares its limits.
func (a *apiRoutes) nodes(ctx *fasthttp.RequestCtx) {
	r, err := within(a, func() (roster.Roster, error) { return a.api.Nodes(a.server.ctx) })
	if errors.Is(err, roster.ErrUnknown) {
		WriteError(ctx, fasthttp.StatusServiceUnavailable, err.Error())
		return
	}
	if err != nil {
		fail(ctx, err)
		return
	}
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool `json:"success"`
		roster.Roster
	}{true, r})
}
