package admin

import (
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// maxUpgrade bounds the time that an upgrade may be given.
const maxUpgrade = time.Hour

// upgrade has another process replace this one.
func (a *apiRoutes) upgrade(ctx *fasthttp.RequestCtx) {
	how := Upgrade{Back: flag(ctx, "back")}
	if text := string(ctx.QueryArgs().Peek("timeout")); text != "" {
		var err error
		if how.Timeout, err = time.ParseDuration(text); err != nil || how.Timeout <= 0 || how.Timeout > maxUpgrade {
			WriteError(ctx, fasthttp.StatusBadRequest, "timeout: a time up to 1h is wanted, as in 30s")
			return
		}
	}
	done, err := a.api.Upgrade(a.server.ctx, how)
	switch {
	case errors.Is(err, ErrConflict):
		fail(ctx, err)
	case err != nil:
		WriteError(ctx, fasthttp.StatusUnprocessableEntity, err.Error())
	default:
		WriteJSON(ctx, fasthttp.StatusOK, struct {
			Success bool   `json:"success"`
			Message string `json:"message"`
			*Upgraded
		}{true, fmt.Sprintf("process %d accepts in place of process %d", done.PID, done.Replaced), done})
	}
}
