package lab

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// client knows no HTTP proxy: all is on this machine.
var client = http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{Proxy: nil}}

// Get returns the body of the answer to a GET.
func Get(url string) []byte {
	text := Call(http.MethodGet, url, nil)
	if text == nil {
		Failf("%s: not found", url)
	}
	return text
}

// Call makes a request, with body as JSON if it is not nil, and returns the body of
// the answer, nil for status 404.
func Call(method, url string, body any) []byte {
	text, status, err := call(&client, method, url, body)
	Check(err)
	switch status {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent:
		return text
	case http.StatusNotFound:
		return nil
	}
	Failf("%s %s: %d: %s", method, url, status, bytes.TrimSpace(text))
	return nil
}

func call(c *http.Client, method, url string, body any) (text []byte, status int, err error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(Must(json.Marshal(body)))
	}
	req, err := http.NewRequest(method, url, in)
	if err != nil {
		return nil, 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return text, resp.StatusCode, err
}
