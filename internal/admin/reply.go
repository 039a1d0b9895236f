package admin

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// WriteJSON answers with v as JSON.
func WriteJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = fasthttp.StatusInternalServerError, []byte(`{"success":false,"error":"internal error"}`)
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '\n'))
}

// WriteError answers with the JSON body of all errors:
// {"success":false,"error":message}.
func WriteError(ctx *fasthttp.RequestCtx, status int, message string) {
	WriteJSON(ctx, status, struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
	}{false, message})
}
