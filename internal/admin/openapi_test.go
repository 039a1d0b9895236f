package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// document is configs/openapi.json as far as the test reads it.
type document struct {
	OpenAPI    string `json:"openapi"`
	Paths      map[string]map[string]operation
	Components struct {
		Schemas map[string]*schema
	}
}

type operation struct {
	RequestBody *struct {
		Content map[string]struct{ Schema *schema }
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema *schema }
	}
}

// schema is the part of JSON Schema that the document uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Const                any
	Enum                 []string
	Properties           map[string]*schema
	Required             []string
	AdditionalProperties *bool `json:"additionalProperties"`
	Items                *schema

	seen map[string]bool // properties that an answer had
}

func readDocument(t *testing.T) *document {
	t.Helper()
	b, err := os.ReadFile("../../configs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	d := new(document)
	if err := json.Unmarshal(b, d); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.OpenAPI, "3.1.") {
		t.Errorf("OpenAPI %s", d.OpenAPI)
	}
	return d
}

// resolve follows a reference.
func (d *document) resolve(s *schema) *schema {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.Components.Schemas[name]
	}
	return s
}

// check says where v is not as s has it, and notes which properties came.
func (d *document) check(s *schema, v any, at string) (wrong []string) {
	if s = d.resolve(s); s == nil {
		return []string{at + ": the schema refers to nothing"}
	}
	if s.Const != nil && v != s.Const {
		wrong = append(wrong, fmt.Sprintf("%s: is %v, not %v", at, v, s.Const))
	}
	if text, ok := v.(string); ok && s.Enum != nil && !slices.Contains(s.Enum, text) {
		wrong = append(wrong, fmt.Sprintf("%s: %q is none of %q", at, text, s.Enum))
	}
	kind := map[string]bool{"string": false, "boolean": false, "integer": false, "object": false, "array": false}
	switch v := v.(type) {
	case string:
		kind["string"] = true
	case bool:
		kind["boolean"] = true
	case float64:
		kind["integer"] = v == float64(int64(v))
	case []any:
		kind["array"] = true
		for i := range v {
			if s.Items != nil {
				wrong = append(wrong, d.check(s.Items, v[i], fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		kind["object"] = true
		wrong = append(wrong, d.checkObject(s, v, at)...)
	}
	if !kind[s.Type] {
		wrong = append(wrong, fmt.Sprintf("%s: %v is not of type %s", at, v, s.Type))
	}
	return wrong
}

func (d *document) checkObject(s *schema, v map[string]any, at string) (wrong []string) {
	if s.seen == nil {
		s.seen = make(map[string]bool)
	}
	for name, value := range v {
		p := s.Properties[name]
		if p == nil {
			wrong = append(wrong, fmt.Sprintf("%s.%s: is not in the document", at, name))
			continue
		}
		s.seen[name] = true
		wrong = append(wrong, d.check(p, value, at+"."+name)...)
	}
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			wrong = append(wrong, fmt.Sprintf("%s.%s: is missing", at, name))
		}
	}
	if s.AdditionalProperties == nil || *s.AdditionalProperties {
		wrong = append(wrong, at+": the document allows any property")
	}
	return wrong
}

// exchange is a request and the status that it provokes.
type exchange struct {
	route, path, body string // route: method and path as in the document
	status            int
	emails            []string // accounts there are
	saveErr           error
}

var (
	errDisk = errors.New("no space left on device")
	errKeys = fmt.Errorf("%w: the certificate does not belong to the private key", ErrKeys)
)

// exchanges provoke every documented status of every route.
var exchanges = []exchange{
	{route: "GET /", status: 200},
	{route: "GET /metrics", status: 200},
	{route: "GET /metrics/accounts", path: "/metrics/accounts?offset=1&count=20000", status: 200},
	{route: "GET /metrics/accounts", path: "/metrics/accounts?offset=-1", status: 400},
	{route: "GET /metrics/accounts", path: "/metrics/accounts?count=all", status: 400},
	{route: "GET /health", status: 200},
	{route: "GET /health", status: 503, emails: []string{"stuck@a.test"}},
	{route: "GET /ready", status: 200, emails: []string{"a@a.test"}},
	{route: "GET /ready", status: 503},
	{route: "GET /admin/accounts", status: 200, emails: []string{"a@a.test"}},
	{route: "GET /admin/accounts", path: "/admin/accounts?state=broken,paused&provider=gmail", status: 200,
		emails: []string{"held@a.test", "throttled@a.test", "failing@a.test", "quota@a.test", "refused@a.test", "unknown@a.test", "draining@a.test", "paused@a.test"}},
	{route: "GET /admin/accounts", path: "/admin/accounts?state=dead", status: 400},
	{route: "POST /admin/accounts", status: 200, body: newJSON("a@a.test", `, "senders": ["self"]`)},
	{route: "POST /admin/accounts", path: "/admin/accounts?dry_run=true", status: 200, body: newJSON("a@a.test")},
	{route: "POST /admin/accounts", status: 200, body: newJSON("a@a.test", `, "tenant": "t"`)},
	{route: "POST /admin/accounts", status: 400, body: "{}"},
	{route: "POST /admin/accounts", status: 400, body: newJSON("a@a.test"), saveErr: errKeys},
	{route: "POST /admin/accounts", status: 409, body: newJSON("a@a.test"), emails: []string{"a@a.test"}},
	{route: "POST /admin/accounts", status: 500, body: newJSON("a@a.test"), saveErr: errDisk},
	{route: "DELETE /admin/accounts", path: "/admin/accounts?confirm=true", status: 200, emails: []string{"a@a.test"}},
	{route: "DELETE /admin/accounts", path: "/admin/accounts?confirm=true&dry_run=true", status: 200, emails: []string{"a@a.test"}},
	{route: "DELETE /admin/accounts", status: 400},
	{route: "DELETE /admin/accounts", path: "/admin/accounts?confirm=true", status: 404},
	{route: "DELETE /admin/accounts", path: "/admin/accounts?confirm=true", status: 500, emails: []string{"a@a.test"}, saveErr: errDisk},
	{route: "POST /admin/accounts/batch", status: 200, body: "[" + newJSON("a@a.test") + "]"},
	{route: "POST /admin/accounts/batch", path: "/admin/accounts/batch?dry_run=true", status: 200, body: "[" + newJSON("a@a.test") + "]"},
	{route: "POST /admin/accounts/batch", status: 200, body: "[" + newJSON("a@a.test", `, "tenant": "t"`) + "]"},
	{route: "POST /admin/accounts/batch", status: 206, body: "[" + newJSON("a@a.test", `, "tenant": "t"`) + "," + newJSON("bad@a.test") + "]"},
	{route: "POST /admin/accounts/batch", status: 206, body: "[" + newJSON("a@a.test") + "," + newJSON("bad@a.test") + "]"},
	{route: "POST /admin/accounts/batch", path: "/admin/accounts/batch?dry_run=true", status: 206, body: "[" + newJSON("a@a.test") + "," + newJSON("bad@a.test") + "]"},
	{route: "POST /admin/accounts/batch", status: 400, body: "[]"},
	{route: "POST /admin/accounts/batch", status: 400, body: "[" + newJSON("a@a.test") + "]", saveErr: errKeys},
	{route: "POST /admin/accounts/batch", status: 400, body: "[" + newJSON("bad@a.test") + "]"},
	{route: "POST /admin/accounts/batch", status: 409, body: "[" + newJSON("a@a.test") + "]", emails: []string{"a@a.test"}},
	{route: "POST /admin/accounts/batch", status: 500, body: "[" + newJSON("a@a.test") + "]", saveErr: errDisk},
	{route: "DELETE /admin/accounts/invalid", status: 200, emails: []string{"dead@a.test", "slow@a.test"}},
	{route: "DELETE /admin/accounts/invalid", path: "/admin/accounts/invalid?dry_run=true", status: 200, emails: []string{"dead@a.test"}},
	{route: "DELETE /admin/accounts/invalid", status: 400, emails: []string{"dead@a.test"}, saveErr: errKeys},
	{route: "DELETE /admin/accounts/invalid", status: 404, emails: []string{"slow@a.test"}},
	{route: "DELETE /admin/accounts/invalid", status: 500, emails: []string{"dead@a.test"}, saveErr: errDisk},
	{route: "GET /admin/accounts/{email}", path: "/admin/accounts/slow@a.test", status: 200, emails: []string{"slow@a.test"}},
	{route: "GET /admin/accounts/{email}", path: "/admin/accounts/a", status: 400},
	{route: "GET /admin/accounts/{email}", path: "/admin/accounts/a@a.test", status: 404},
	{route: "GET /admin/accounts/{email}", path: "/admin/accounts/hung@a.test", status: 503, emails: []string{"hung@a.test"}},
	{route: "DELETE /admin/accounts/{email}", path: "/admin/accounts/a@a.test", status: 200, emails: []string{"a@a.test"}},
	{route: "DELETE /admin/accounts/{email}", path: "/admin/accounts/a", status: 400},
	{route: "DELETE /admin/accounts/{email}", path: "/admin/accounts/a@a.test", status: 400, emails: []string{"a@a.test"}, saveErr: errKeys},
	{route: "DELETE /admin/accounts/{email}", path: "/admin/accounts/a@a.test", status: 404},
	{route: "DELETE /admin/accounts/{email}", path: "/admin/accounts/a@a.test", status: 500, emails: []string{"a@a.test"}, saveErr: errDisk},
	{route: "POST /admin/accounts/verify", status: 200, body: `{"email":"a@a.test"}`, emails: []string{"a@a.test"}},
	{route: "POST /admin/accounts/verify", status: 400, body: `{}`},
	{route: "POST /admin/accounts/verify", status: 404, body: `{"email":"a@a.test"}`},
	{route: "GET /admin/info", status: 200},
	{route: "GET /admin/forecast", status: 200, emails: []string{"a@a.test", "b@a.test"}},
	{route: "GET /admin/forecast", path: "/admin/forecast?within=7d&all=true", status: 200, emails: []string{"a@a.test"}},
	{route: "GET /admin/forecast", path: "/admin/forecast?within=soon", status: 400},
	{route: "GET /admin/tenants", status: 200},
	{route: "GET /admin/nodes", status: 200},
	{route: "GET /admin/nodes", status: 503, saveErr: errDisk},
	{route: "POST /admin/reload", status: 200},
	{route: "POST /admin/reload", status: 422, saveErr: errDisk},
	{route: "POST /admin/reload", path: "/admin/reload?accept_removals=true", status: 200, saveErr: errDisk},
	{route: "POST /admin/reload", path: "/admin/reload?accept_removals=false", status: 422, saveErr: errDisk},
	{route: "POST /admin/upgrade", path: "/admin/upgrade?timeout=30s", status: 200},
	{route: "POST /admin/upgrade", path: "/admin/upgrade?timeout=2h", status: 400},
	{route: "POST /admin/upgrade", path: "/admin/upgrade?back=true", status: 409},
	{route: "POST /admin/upgrade", path: "/admin/upgrade?timeout=1s", status: 422},
	{route: "POST /admin/accounts/{email}/pause", path: "/admin/accounts/untold@a.test/pause", status: 200, emails: []string{"untold@a.test"}},
	{route: "POST /admin/accounts/{email}/resume", path: "/admin/accounts/crossed@a.test/resume", status: 409, emails: []string{"crossed@a.test"}},
	{route: "GET /admin/log/level", status: 200},
	{route: "PUT /admin/log/level", status: 200, body: `{"level":"debug"}`},
	{route: "PUT /admin/log/level", status: 400, body: `{"level":"loud"}`},
}

func init() {
	for _, o := range []Order{Pause, Resume, Drain} {
		route := "POST /admin/accounts/{email}/" + string(o)
		exchanges = append(exchanges,
			exchange{route: route, path: "/admin/accounts/a@a.test/" + string(o), status: 200, emails: []string{"a@a.test"}},
			exchange{route: route, path: "/admin/accounts/a/" + string(o), status: 400},
			exchange{route: route, path: "/admin/accounts/a@a.test/" + string(o), status: 404},
			exchange{route: route, path: "/admin/accounts/a@a.test/" + string(o), status: 500, emails: []string{"a@a.test"}, saveErr: errDisk},
			exchange{route: route, path: "/admin/accounts/hung@a.test/" + string(o), status: 503, emails: []string{"hung@a.test"}})
	}
}

// TestDocument holds configs/openapi.json against the server: the routes are
// the same, every documented status comes and no other, every answer is as
// documented, and no documented field is never seen.
func TestDocument(t *testing.T) {
	d := readDocument(t)
	documented := make(map[string]map[string]bool) // route -> statuses
	for path, ops := range d.Paths {
		for method, op := range ops {
			statuses := make(map[string]bool)
			for status := range op.Responses {
				statuses[status] = true
			}
			documented[strings.ToUpper(method)+" "+path] = statuses
		}
	}
	cfg := testConfig()
	cfg.AccountMetrics = true
	s := newServer(t, cfg, nil)
	s.HandleAccountMetrics(func(io.Writer, int, int) {})
	s.HandleAPI(new(fakeAPI))
	for _, r := range s.router.routes {
		for method := range r.handlers {
			if documented[method+" "+r.pattern] == nil {
				t.Errorf("%s %s is served and not documented", method, r.pattern)
			}
		}
	}
	seen := make(map[string]bool) // route and status
	for _, e := range exchanges {
		checkExchange(t, d, e)
		if !documented[e.route][strconv.Itoa(e.status)] {
			t.Errorf("%s: %d is not documented", e.route, e.status)
		}
		seen[e.route+" "+strconv.Itoa(e.status)] = true
	}
	for route, statuses := range documented {
		for status := range statuses {
			if status != "default" && !seen[route+" "+status] {
				t.Errorf("%s: %s is documented and never seen", route, status)
			}
		}
	}
	checkDefault(t, d)
	checkAllSeen(t, d)
}

// checkExchange sends the request and holds the answer against the document.
func checkExchange(t *testing.T, d *document, e exchange) {
	t.Helper()
	method, route, _ := strings.Cut(e.route, " ")
	path := e.path
	if path == "" {
		path = route
	}
	f, url := newAPI(t, "", e.emails...)
	f.saveErr = e.saveErr
	resp, body := do(t, method, url+path, e.body)
	if resp.StatusCode != e.status {
		t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, body, e.status)
		return
	}
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	content, ok := d.Paths[route][strings.ToLower(method)].Responses[strconv.Itoa(e.status)].Content[media]
	if !ok {
		t.Errorf("%s %s, %d: content of type %q is not documented", method, path, e.status, media)
		return
	}
	if media == "application/json" {
		checkBody(t, d, content.Schema, e.route, body)
	}
	if op := d.Paths[route][strings.ToLower(method)]; e.status == 200 && (op.RequestBody == nil) != (e.body == "") {
		t.Errorf("%s: a request body is documented: %t", e.route, op.RequestBody != nil)
	}
}

func checkBody(t *testing.T, d *document, s *schema, route, body string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Errorf("%s: %v", route, err)
		return
	}
	for _, wrong := range d.check(s, v, "answer") {
		t.Errorf("%s: %s", route, wrong)
	}
}

// checkDefault holds what any route may answer against the document.
func checkDefault(t *testing.T, d *document) {
	t.Helper()
	_, url := newAPI(t, testToken)
	for route, status := range map[string]int{"GET /admin/accounts": 401, "GET /nothing": 404, "POST /health": 405} {
		method, path, _ := strings.Cut(route, " ")
		resp, body := do(t, method, url+path, "")
		if resp.StatusCode != status {
			t.Errorf("%s: %d, want %d", route, resp.StatusCode, status)
		}
		for _, ops := range d.Paths {
			for _, op := range ops {
				checkBody(t, d, op.Responses["default"].Content["application/json"].Schema, route, body)
			}
		}
	}
}

// checkAllSeen finds documented properties that no answer had, and those of
// requests that the server does not read.
func checkAllSeen(t *testing.T, d *document) {
	t.Helper()
	read := map[string]any{"NewAccount": new(NewAccount), "NewLogLevel": &struct {
		Level string `json:"level"`
	}{}, "ToVerify": &struct {
		Email          string `json:"email"`
		TimeoutSeconds int    `json:"timeout_seconds"`
	}{}}
	for name, s := range d.Components.Schemas {
		if into := read[name]; into != nil {
			all, err := json.Marshal(into)
			var fields map[string]any
			if err == nil {
				err = json.Unmarshal(all, &fields)
			}
			if err != nil || !slices.Equal(slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(s.Properties))) {
				t.Errorf("%s: documented are %v, read are %v (%v)", name, slices.Sorted(maps.Keys(s.Properties)), slices.Sorted(maps.Keys(fields)), err)
			}
			continue
		}
		for p := range s.Properties {
			if !s.seen[p] {
				t.Errorf("%s.%s is documented and never seen", name, p)
			}
		}
	}
}
