package flow

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth/internal/httpc"
)

// An answer is an endpoint's answer before x/oauth2 reads it.
type answer struct {
	status int
	header http.Header
	body   []byte   // as asJSON and plainFields return it
	odd    []string // fields that could not be read
}

// ok reports whether the status is one of success.
func (a *answer) ok() bool { return a != nil && a.status >= 200 && a.status <= 299 }

// refusal returns the error object (RFC 6749 section 5.2) of an answer with a
// status of success, nil if there is none.
func (a *answer) refusal() error {
	if !a.ok() {
		return nil
	}
	e := &oauth2.RetrieveError{Response: &http.Response{StatusCode: a.status, Header: a.header}, Body: a.body}
	if decodeAnswer(e); e.ErrorCode == "" {
		return nil
	}
	return e
}

// refreshToken returns the refresh token of an answer with a status of success,
// whatever else is wrong with it: the provider may have made the one before
// invalid. It is zero if there is none.
func (a *answer) refreshToken() account.Secret {
	var body struct {
		RefreshToken string `json:"refresh_token"`
	}
	if !a.ok() || json.Unmarshal(a.body, &body) != nil || !isVSCHAR(body.RefreshToken) {
		return account.Secret{}
	}
	return account.NewSecret(body.RefreshToken)
}

// isVSCHAR reports whether s can be a refresh token (RFC 6749 appendix A.17).
func isVSCHAR(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return s != ""
}

// utf8BOM is the byte order mark that some servers put before JSON. RFC 8259
// section 8.1 lets a parser ignore it.
var utf8BOM = []byte("\xef\xbb\xbf")

// asJSON returns the body of an answer in the form that all flows read, whatever its
// Content-Type: decompressed, without a byte order mark and white space around it, and
// a form as the object of its fields. Values that are not JSON are replaced: see
// lenientJSON. A body that is neither an object nor a form stays as it is. encoding is
// the Content-Encoding. The error is httpc.ErrReplyTooLarge.
func asJSON(body []byte, encoding string) ([]byte, error) {
	body, err := decompress(body, encoding)
	if err != nil {
		return nil, err
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), utf8BOM))
	if object := formAsJSON(body); object != nil {
		return object, nil
	}
	return lenientJSON(body), nil
}

// decompress undoes gzip, which shows in the first octets, and deflate, which shows in
// the header. Of a cut body it returns what can be read.
func decompress(body []byte, encoding string) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(body, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return body, nil
		}
		r = z
	case !strings.Contains(strings.ToLower(encoding), "deflate") || isObject(body):
		return body, nil
	default: // RFC 9110 section 8.4.1.2: in the zlib format, which some leave out
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			z = flate.NewReader(bytes.NewReader(body))
		}
		r = z
	}
	plain, _ := io.ReadAll(io.LimitReader(r, httpc.MaxReply+1))
	switch {
	case len(plain) > httpc.MaxReply:
		return nil, httpc.ErrReplyTooLarge
	case len(plain) == 0: // the header was wrong
		return body, nil
	}
	return plain, nil
}

// isObject reports whether body begins as a JSON object.
func isObject(body []byte) bool {
	return bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), utf8BOM)), []byte("{"))
}

// isWhole reports whether body has a whole JSON object: that is an answer, though the
// connection was lost before the end that the header announced.
func isWhole(body []byte) bool {
	body, err := asJSON(body, "")
	return err == nil && isObject(body) && json.Valid(body)
}

// formFields are the fields of which an answer has one (RFC 6749 section 5, RFC 8628
// section 3.2).
var formFields = []string{"access_token", "refresh_token", "error", "device_code"}

// formAsJSON returns the fields of an answer in application/x-www-form-urlencoded
// as a JSON object, nil if body is no form. Old endpoints answer so.
func formAsJSON(body []byte) []byte {
	if len(body) == 0 || bytes.ContainsAny(body, "{}<>\"' \t\r\n") {
		return nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil
	}
	known := false
	for _, name := range formFields {
		known = known || values.Has(name)
	}
	if !known {
		return nil
	}
	fields := make(map[string]string, len(values))
	for name := range values {
		fields[name] = values.Get(name)
	}
	object, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return object
}
