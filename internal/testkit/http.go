package testkit

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Ask sends one request and returns the answer and its body. It follows no redirect.
// header are names and values in turn; tr may be nil.
func Ask(t testing.TB, tr *http.Transport, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	resp, text, err := TryAsk(tr, method, url, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

// TryAsk is Ask that returns its error, with what came before that.
func TryAsk(tr *http.Transport, method, url, body string, header ...string) (*http.Response, string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if tr == nil {
		tr = &http.Transport{}
	}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// TryPost is TryAsk that posts a form.
func TryPost(tr *http.Transport, url string, form url.Values) (*http.Response, string, error) {
	return TryAsk(tr, http.MethodPost, url, form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// OverSocket connects to a unix socket, whatever the URL.
func OverSocket(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
}
