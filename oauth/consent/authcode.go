package consent

import (
	"cmp"
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
	"sync"
	"time"

	"golang.org/x/oauth2"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/flow"
	"xoauth2-proxy/oauth/internal/httpc"
)

// Redirect says where the provider sends the browser after consent. The zero value is a
// free port of the loopback.
type Redirect struct {
	// Port is the port of the loopback where the answer is awaited. 0: that of URI if it
	// leads to the loopback, else a free one.
	Port int
	// URI is the redirect address that the provider is told; it must be registered there.
	// Empty: http://localhost:PORT, of which Google and Microsoft accept any port.
	URI string
}

// port returns the port to listen on. listens is false if the browser is sent elsewhere:
// then the person must paste the answer.
func (at Redirect) port() (port int, listens bool, err error) {
	if at.URI == "" || at.Port != 0 {
		return at.Port, true, nil
	}
	u, err := url.Parse(at.URI)
	if err != nil || u.Scheme == "" || u.Fragment != "" {
		return 0, false, &oauth.Error{Class: oauth.ClassMisconfigured, Err: errRedirectURI}
	}
	if u.Scheme != "http" || httpc.CheckURL(at.URI) != nil {
		return 0, false, nil
	}
	port, err = strconv.Atoi(cmp.Or(u.Port(), "80"))
	return port, err == nil, err
}

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

// AuthCode starts a request: it listens on the loopback, where the browser comes back,
// unless at sends it elsewhere.
func (z *Authorizer) AuthCode(at Redirect) (*Request, error) {
	client := z.cfg.Account
	if err := check(z.cfg.AuthURL, client.TokenURL); err != nil {
		return nil, err
	}
	port, listens, err := at.port()
	if err != nil {
		return nil, err
	}
	r := &Request{
		z: z, state: rand.Text(), verifier: oauth2.GenerateVerifier(),
		done: make(chan struct{}), answer: make(chan url.Values, 1),
		conf: &oauth2.Config{ClientID: client.ClientID, RedirectURL: at.URI, Scopes: []string{z.cfg.Scope},
			Endpoint: oauth2.Endpoint{AuthURL: z.cfg.AuthURL}},
	}
	if !listens {
		close(r.done)
		return r, nil
	}
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	if at.URI == "" {
		r.conf.RedirectURL = "http://localhost:" + strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
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
	if hint := r.z.cfg.Account.Identity(); hint != "" {
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

// Exchange exchanges the code that the person pasted: alone, or in the address that
// the browser was sent to. ErrNotAnswer: that was something else, and the person may
// paste again.
func (r *Request) Exchange(ctx context.Context, pasted string) (*Result, error) {
	q, ok := readPasted(pasted)
	if !ok || q.Has("state") && !r.isAnswer(q) {
		return nil, ErrNotAnswer
	}
	return r.finish(ctx, q)
}

// isAnswer reports whether q is the answer to this request.
func (r *Request) isAnswer(q url.Values) bool {
	return subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(r.state)) == 1
}

// exchangeTries is how often a code is sent while the token endpoint fails for reasons
// that pass: a code can be asked for once.
const exchangeTries = 5

// finish exchanges the code of an answer of the authorization endpoint (RFC 6749
// section 4.1.2).
func (r *Request) finish(ctx context.Context, q url.Values) (*Result, error) {
	client := r.z.cfg.Account
	code := q.Get("code")
	if code == "" {
		return nil, explain(flow.Refused(client, q.Get("error"), q.Get("error_description")))
	}
	params := url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {r.conf.RedirectURL}, "code_verifier": {r.verifier}}
	for n, wait := 1, 1.0; ; n, wait = n+1, 2*wait {
		as, got, err := r.z.ask(ctx, client, params, account.NewSecret(code), account.NewSecret(r.verifier))
		if n == exchangeTries || !got.Refresh.IsZero() || !passing(err) {
			return r.z.result(as, got, err)
		}
		client, wait = as, max(wait, err.RetryAfter.Seconds())
		if !pause(ctx, time.Duration(wait*float64(r.z.second))) {
			return nil, explain(err)
		}
	}
}

// serve answers the browser. Requests without the answer to this request, such as for
// an icon, change nothing.
func (r *Request) serve(w http.ResponseWriter, req *http.Request) {
	q := req.URL.Query()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if req.Method != http.MethodGet || !r.isAnswer(q) || !q.Has("code") && !q.Has("error") {
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
