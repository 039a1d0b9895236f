package tokend

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"

	"github.com/valyala/fasthttp"

	"xoauth2-proxy/internal/sandbox/internal/fault"
)

// byteOrderMark begins the UTF-8 of some servers.
const byteOrderMark = "\xef\xbb\xbf"

// alter changes a complete answer as the fault says.
func alter(ctx *fasthttp.RequestCtx, f *fault.Fault) {
	resp := &ctx.Response
	if resp.IsBodyStream() {
		return
	}
	if f.Action == fault.ActionAlter && f.Status != 0 {
		resp.SetStatusCode(f.Status)
	}
	body := alterFields(resp.Body(), f)
	if f.BOM {
		body = append([]byte(byteOrderMark), body...)
	}
	if f.Gzip {
		body = gzipped(body)
		resp.Header.Set("Content-Encoding", "gzip")
	}
	resp.SetBody(body)
	for name, value := range f.Headers {
		if value != "" {
			resp.Header.Set(name, value)
			continue
		}
		resp.Header.Del(name)
		if name == fasthttp.HeaderContentType {
			resp.Header.SetNoDefaultContentType(true)
		}
	}
}

func gzipped(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // a buffer takes all
	_ = z.Close()
	return b.Bytes()
}

// alterFields sets and drops fields of a JSON object. Any other body stays as it
// is.
func alterFields(body []byte, f *fault.Fault) []byte {
	var object map[string]json.RawMessage
	if len(f.Fields)+len(f.Drop) > 0 && json.Unmarshal(body, &object) == nil {
		maps.Copy(object, f.Fields)
		for _, name := range f.Drop {
			delete(object, name)
		}
		if altered, err := json.Marshal(object); err == nil {
			return altered
		}
	}
	return bytes.Clone(body)
}
