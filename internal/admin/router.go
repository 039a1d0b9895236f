package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// router finds the handler for a method and a path. It is filled before it is
// used, and then only read.
type router struct {
	routes []*route // those with literal segments before those with parameters
}

// route is one pattern with the handlers of its methods.
type route struct {
	pattern  string
	segments []segment
	rest     string // name of a trailing {name...}, "" for none
	handlers map[string]fasthttp.RequestHandler
}

// segment is a literal part of a path, or a parameter.
type segment struct {
	text  string
	param bool
}

// handle adds a route. It panics on a bad pattern or a second handler: both
// are mistakes of the program.
func (rt *router) handle(method, pattern string, h fasthttp.RequestHandler) {
	r := parsePattern(pattern)
	i := slices.IndexFunc(rt.routes, func(o *route) bool { return o.pattern == pattern })
	if i < 0 {
		r.handlers = make(map[string]fasthttp.RequestHandler)
		rt.routes = append(rt.routes, r)
		slices.SortStableFunc(rt.routes, compareRoutes)
	} else {
		r = rt.routes[i]
	}
	if r.handlers[method] != nil {
		panic(fmt.Sprintf("admin: %s %s has a handler already", method, pattern))
	}
	r.handlers[method] = h
}

func parsePattern(pattern string) *route {
	if !strings.HasPrefix(pattern, "/") {
		panic(fmt.Sprintf("admin: pattern %q does not begin with a slash", pattern))
	}
	r := &route{pattern: pattern}
	parts := strings.Split(pattern[1:], "/")
	for i, p := range parts {
		name, isParam := strings.CutPrefix(p, "{")
		if !isParam {
			r.segments = append(r.segments, segment{text: p})
			continue
		}
		name, closed := strings.CutSuffix(name, "}")
		name, rest := strings.CutSuffix(name, "...")
		if !closed || name == "" || rest && i != len(parts)-1 {
			panic(fmt.Sprintf("admin: pattern %q is malformed", pattern))
		}
		if rest {
			r.rest = name
		} else {
			r.segments = append(r.segments, segment{text: name, param: true})
		}
	}
	return r
}

// compareRoutes puts the more precise pattern first: at the first segment where
// two differ in kind, the literal wins.
func compareRoutes(a, b *route) int {
	for i := range min(len(a.segments), len(b.segments)) {
		if x, y := a.segments[i].param, b.segments[i].param; x != y {
			if y {
				return -1
			}
			return 1
		}
	}
	return len(b.segments) - len(a.segments)
}

// match reports whether the route has that path, and tells set the parameters.
func (r *route) match(path string, set func(name, value string)) bool {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return false
	}
	more := true // there is a segment in rest, maybe an empty one
	for _, s := range r.segments {
		if !more {
			return false
		}
		var part string
		part, rest, more = strings.Cut(rest, "/")
		switch {
		case !s.param && part != s.text, s.param && part == "":
			return false
		case s.param:
			set(s.text, part)
		}
	}
	if r.rest != "" {
		set(r.rest, rest)
		return more
	}
	return !more
}

// slash stands in a path for a slash that was sent as %2F: it is a part of its segment, such
// as the name of an account, and separates none.
const slash = "\x00"

var hideSlashes = strings.NewReplacer("%2F", "%00", "%2f", "%00")

// pathOf returns the path of a request, decoded and without segments ".." and empty ones, or
// "" if it has NUL in it. What admits a request and what finds its route both go by it, or a
// request could be admitted for one route and be served by another.
func pathOf(ctx *fasthttp.RequestCtx) string {
	raw := string(ctx.URI().PathOriginal())
	hidden := hideSlashes.Replace(raw)
	switch {
	case strings.Contains(raw, slash), strings.Contains(raw, "%00"):
		return ""
	case hidden == raw:
		return string(ctx.Path())
	}
	var u fasthttp.URI
	u.SetPath(hidden)
	return string(u.Path())
}

// serve runs the handler for the request.
func (rt *router) serve(ctx *fasthttp.RequestCtx) {
	path, method := pathOf(ctx), string(ctx.Method())
	var allowed []string
	for _, r := range rt.routes {
		if !r.match(path, func(string, string) {}) {
			continue
		}
		h := r.handlers[method]
		if h == nil && method == fasthttp.MethodHead {
			h = r.handlers[fasthttp.MethodGet] // the server leaves the body out
		}
		if h != nil {
			r.match(path, func(name, value string) { ctx.SetUserValue(name, strings.ReplaceAll(value, slash, "/")) })
			h(ctx)
			return
		}
		for m := range r.handlers {
			allowed = append(allowed, m)
		}
	}
	if allowed == nil {
		WriteError(ctx, fasthttp.StatusNotFound, "not found")
		return
	}
	slices.Sort(allowed)
	ctx.Response.Header.Set("Allow", strings.Join(slices.Compact(allowed), ", "))
	WriteError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed")
}
