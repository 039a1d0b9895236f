package admin

import (
	"fmt"
	"io"
	"testing"
)

// TestAccountMetrics asks for pages: the bounds hold, and without the setting there is no
// such route.
func TestAccountMetrics(t *testing.T) {
	for _, on := range []bool{true, false} {
		cfg := testConfig()
		cfg.AccountMetrics = on
		s := newServer(t, cfg, nil)
		s.HandleAccountMetrics(func(w io.Writer, offset, count int) { fmt.Fprintf(w, "page %d %d\n", offset, count) })
		url := start(t, s)
		for path, want := range map[string]string{
			"":                             "page 0 10000\n",
			"?offset=7":                    "page 7 10000\n",
			"?offset=7&count=5":            "page 7 5\n",
			"?count=0":                     "page 0 0\n",
			"?count=20000":                 "page 0 10000\n",
			"?offset=-1":                   "",
			"?count=x":                     "",
			"?count=":                      "",
			"?offset=99999999999999999999": "",
		} {
			resp, body := do(t, "GET", url+"/metrics/accounts"+path, "")
			status := 200
			switch {
			case !on:
				status = 404
			case want == "":
				status = 400
			}
			if resp.StatusCode != status || status == 200 && body != want {
				t.Errorf("set %t, %q: %d %q, want %d %q", on, path, resp.StatusCode, body, status, want)
			}
		}
	}
}
