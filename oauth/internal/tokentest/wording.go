package tokentest

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Absent stands for an answer without Content-Type.
const Absent = "absent"

// An answer with a token and a refresh token, and one with an error, as an object
// and as a form.
const (
	TokenObject = `{"access_token":"A1","token_type":"Bearer","expires_in":3600,"refresh_token":"R2"}`
	TokenForm   = "access_token=A1&token_type=Bearer&expires_in=3600&refresh_token=R2"
	ErrorObject = `{"error":"invalid_grant","error_description":"Token has been revoked."}`
	ErrorForm   = "error=invalid_grant&error_description=Token+has+been+revoked."
)

// maxReply is the most that a reply may have, in octets.
const maxReply = 1 << 20

// A Wording is a way to write an answer.
type Wording struct {
	Name, Encoding string
	Body           func(object, form string) string
}

// Wordings can be read.
var Wordings = []Wording{
	{"JSON", "", func(o, _ string) string { return o }},
	{"BOM", "", func(o, _ string) string { return "\xef\xbb\xbf" + o }},
	{"white space", "", func(o, _ string) string { return " \r\n\t" + o + "\r\n" }},
	{"white space, BOM, white space", "", func(o, _ string) string { return "\n\xef\xbb\xbf\n" + o }},
	{"form", "", func(_, f string) string { return f }},
	{"gzip", "gzip", func(o, _ string) string { return gzipped(o) }},
	{"gzip, not said", "", func(o, _ string) string { return gzipped("\xef\xbb\xbf" + o) }},
	{"gzip, only said", "gzip", func(o, _ string) string { return o }},
	{"gzip of a form", "x-gzip", func(_, f string) string { return gzipped(f) }},
	{"gzip without its end", "gzip", func(o, _ string) string { z := gzipped(o); return z[:len(z)-8] }},
	{"deflate", "deflate", func(o, _ string) string { return deflated(o) }},
	{"deflate, only said", "deflate", func(_, f string) string { return f }},
}

// Malformed wordings cannot be read.
var Malformed = []Wording{
	{"HTML", "", func(string, string) string {
		return "<html><a href=\"/?access_token=x&error=y\">Sign in</a></html>"
	}},
	{"empty", "", func(string, string) string { return "" }},
	{"truncated", "", func(o, _ string) string { return o[:len(o)-1] }},
	{"truncated gzip", "gzip", func(o, _ string) string { return gzipped(o)[:20] }},
}

// TooLarge wordings are beyond what a reply may have.
var TooLarge = []Wording{
	{"too big", "", func(o, _ string) string { return o + strings.Repeat(" ", maxReply) }},
	{"gzip of too much", "gzip", func(o, _ string) string { return gzipped(o + strings.Repeat(" ", maxReply)) }},
}

// Give answers with a wording.
func (wd Wording) Give(status int, contentType, object, form string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		if contentType != Absent {
			w.Header().Set("Content-Type", contentType)
		}
		if wd.Encoding != "" {
			w.Header().Set("Content-Encoding", wd.Encoding)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, wd.Body(object, form))
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, _ = io.WriteString(z, s)
	_ = z.Close()
	return b.String()
}

// Echo answers with all that the request had, in every place of an answer that a
// caller may show, in turn.
func Echo(ts *Server) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		all := ts.Requests()
		form := all[len(all)-1]
		sent := form.Encode() + " " + r.Header.Get("Authorization") + " " + r.URL.RawQuery + spoken(form)
		n++
		switch n % 6 {
		case 0:
			GiveError(400, "invalid_grant", "you sent "+sent)(w, r)
		case 1:
			GiveError(400, sent, "AADSTS70000: "+sent)(w, r)
		case 2:
			w.WriteHeader(500)
			_, _ = io.WriteString(w, sent)
		case 3:
			GiveJSON(w, 200, map[string]any{"access_token": sent, "token_type": sent})
		case 4:
			GiveJSON(w, 401, map[string]any{"error": "invalid_client", "error_description": sent, "error_uri": sent})
		case 5:
			_, _ = io.WriteString(w, "<html>"+sent)
		}
	}
}

// spoken is the values of a form as they were before encoding.
func spoken(form url.Values) (text string) {
	for _, values := range form {
		text += " " + strings.Join(values, " ")
	}
	return text
}
