package consent

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
)

// Request is one request for consent in a browser (RFC 6749 section 4.1) with PKCE
// (RFC 7636). The answer comes to a listener on the loopback (RFC 8252 section 7.3),
// or the person pastes it. Close it.
type Request struct {
	z        *Authorizer
	conf     *oauth2.Config
	state    string
	verifier string

	server http.Server
	done   chan struct{} // the server has ended
	answer chan url.Values
	once   sync.Once // of the answer
}

// AuthCode starts a request: it listens on a free port of 127.0.0.1, where the browser
// comes back. The redirect address is http://localhost:PORT; Google and Microsoft
// accept any port.
func (z *Authorizer) AuthCode() (*Request, error) {
	if err := check(z.cfg.AuthURL, z.cfg.TokenURL); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	redirect := "http://localhost:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	r := &Request{
		z: z, conf: z.conf(redirect), state: rand.Text(), verifier: oauth2.GenerateVerifier(),
		done: make(chan struct{}), answer: make(chan url.Values, 1),
	}
	// A browser sends one request. The standard server can be waited for.
	r.server = http.Server{
		Handler:           http.HandlerFunc(r.serve),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() {
		defer close(r.done)
		_ = r.server.Serve(ln) // ends with Close
	}()
	return r, nil
}

// URL is the address that the person opens in a browser, on any machine.
func (r *Request) URL() string {
	options := []oauth2.AuthCodeOption{
		oauth2.AccessTypeOffline, // Google: a refresh token, please
		oauth2.S256ChallengeOption(r.verifier),
	}
	if hint := r.z.cfg.LoginHint; hint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", hint))
	}
	// Only a new consent brings a refresh token.
	options = append(options, oauth2.SetAuthURLParam("prompt", "consent"))
	return r.conf.AuthCodeURL(r.state, options...)
}

// RedirectURL is the address that the provider sends the browser to after consent. A
// browser on another machine finds nothing there; the person then pastes the address,
// see Exchange.
func (r *Request) RedirectURL() string { return r.conf.RedirectURL }

// Wait waits for the browser to come back and exchanges its code. The error is
// an *oauth.Error, or the cause of ctx's end.
func (r *Request) Wait(ctx context.Context) (*Result, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case q := <-r.answer:
		return r.finish(ctx, q)
	}
}

// Exchange exchanges the code that the person pasted: alone, or in the whole address
// that the browser was sent to.
func (r *Request) Exchange(ctx context.Context, pasted string) (*Result, error) {
	pasted = strings.TrimSpace(pasted)
	q := url.Values{"code": {pasted}, "state": {r.state}}
	if strings.Contains(pasted, "://") {
		u, err := url.Parse(pasted)
		if err != nil {
			return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errRedirect}
		}
		q = u.Query()
	}
	if pasted == "" || strings.ContainsAny(q.Get("code"), " \t\r\n") {
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errRedirect}
	}
	return r.finish(ctx, q)
}

// finish checks an answer of the authorization endpoint (RFC 6749 section
// 4.1.2) and exchanges the code.
func (r *Request) finish(ctx context.Context, q url.Values) (*Result, error) {
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(r.state)) != 1 {
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errConsentState, Hint: "start again, and answer the newest request"}
	}
	x := r.z.exchange(ctx)
	if code := q.Get("error"); code != "" {
		return nil, failure(x, &oauth2.RetrieveError{ErrorCode: code, ErrorDescription: q.Get("error_description")})
	}
	code := q.Get("code")
	if code == "" {
		return nil, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errRedirect}
	}
	tok, err := r.conf.Exchange(x.Context(), code, oauth2.VerifierOption(r.verifier))
	return r.z.result(x, tok, err, account.NewSecret(code), account.NewSecret(r.verifier))
}

// serve answers the browser. Requests without the answer to this request, such as for
// an icon, change nothing.
func (r *Request) serve(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if req.Method != http.MethodGet || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(r.state)) != 1 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	text := "Consent was given. You can close this window."
	if q.Get("error") != "" {
		text = "Consent was not given. See the terminal."
	}
	_, _ = io.WriteString(w, "<!doctype html><title>xoauth2-proxy</title><p>"+html.EscapeString(text)+"</p>\n")
	r.once.Do(func() { r.answer <- q })
}

// Close ends the listener after the browser has its answer, and waits for it.
func (r *Request) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		_ = r.server.Close()
	}
	<-r.done
}
