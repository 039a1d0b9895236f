package admin

import (
	"time"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/forecast"
)

// forecast tells what ends: all, or within the time that the query asks for; accounts that end
// alike as one, or each.
func (a *apiRoutes) forecast(ctx *fasthttp.RequestCtx) {
	var within time.Duration
	if text := string(ctx.QueryArgs().Peek("within")); text != "" {
		var err error
		if within, err = forecast.ParseWithin(text); err != nil {
			WriteError(ctx, fasthttp.StatusBadRequest, "within: "+err.Error())
			return
		}
	}
	f := a.api.Forecast()
	if within > 0 {
		f = f.Within(within)
	}
	if !flag(ctx, "all") {
		f = f.Grouped()
	}
	WriteJSON(ctx, fasthttp.StatusOK, struct {
		Success bool `json:"success"`
		forecast.Forecast
	}{true, f})
}
