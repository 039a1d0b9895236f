// Package adminclient finds the running proxy and asks it. Every command for a
// running proxy goes through it.
//
// A proxy listens on its admin socket, a unix socket that root and the proxy's
// own user can connect to. [Find] tries the places where it may be, asks the
// proxy that answers which one it is (GET /admin/info), and passes over one that
// serves other accounts. [Client.Do] then sends requests of the admin API
// (configs/openapi.json) over it. No token is needed there.
//
// The errors say what an operator can do: that no proxy runs, that another user
// must run the command, that the two programs are of different versions.
//
// The package imports nothing of the proxy.
package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/internal/admin"
)

// apiVersion is the version of the admin API that this package knows.
const apiVersion = 1

const (
	// infoTimeout bounds GET /admin/info.
	infoTimeout = 10 * time.Second
	// maxAnswer bounds an answer in octets.
	maxAnswer = 64 << 20
	// maxIdle is how many connections are kept for the next requests.
	maxIdle = 32
)

var (
	// ErrNotRunning: no proxy listens at any of the places.
	ErrNotRunning = errors.New("no running proxy was found")
	// ErrRights: there is a socket that this user cannot use.
	ErrRights = errors.New("this user may not use the admin socket")
	// ErrVersion: the proxy has another version of the admin API.
	ErrVersion = errors.New("the running proxy is of another version")
	// ErrOther: the proxy that answers serves other accounts.
	ErrOther = errors.New("the running proxy has other accounts")
)

// StatusError is an answer of the proxy other than 200.
type StatusError struct {
	// Status is the HTTP status code.
	Status int
	// Message is the proxy's error text; it holds no secret.
	Message string
}

// Error implements error.
func (e *StatusError) Error() string { return e.Message }

// Client asks one running proxy. It is safe for concurrent use.
type Client struct {
	// Path is the socket.
	Path string
	// Proxy is the proxy that answers there.
	Proxy admin.Info

	transport *http.Transport
}

// Find returns a client of the first proxy that listens on one of paths. If accounts is
// not empty, the proxy must serve the accounts of that file; Find passes over any other.
// The errors are ErrNotRunning, which names the places, ErrRights, ErrVersion, ErrOther and
// those of the system. Of several errors the first that is not ErrNotRunning is returned.
// The caller closes the client.
func Find(ctx context.Context, paths []string, accounts string) (*Client, error) {
	var fault error
	for _, path := range paths {
		c, err := Open(ctx, path)
		if err == nil && accounts != "" && !sameFile(accounts, c.Proxy.AccountsFile) {
			c.Close()
			err = fmt.Errorf("%w: the one at %s (pid %d) serves %s, and not %s", ErrOther, path, c.Proxy.PID, c.Proxy.AccountsFile, accounts)
		}
		if err == nil {
			return c, nil
		}
		if fault == nil && !errors.Is(err, ErrNotRunning) {
			fault = err
		}
	}
	if fault == nil {
		fault = fmt.Errorf("%w: none listens on %s", ErrNotRunning, strings.Join(paths, ", "))
	}
	return nil, fault
}

// Open returns a client of the proxy that listens at path. The errors are those of Find.
func Open(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	tr := &http.Transport{DialContext: dial, MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle}
	c := &Client{Path: path, transport: tr}
	ctx, cancel := context.WithTimeout(ctx, infoTimeout)
	defer cancel()
	err := c.Do(ctx, http.MethodGet, "/admin/info", nil, &c.Proxy)
	answer, answered := errors.AsType[*StatusError](err)
	switch {
	case answered && answer.Status == http.StatusForbidden:
		err = fmt.Errorf("%w: %s: %s", ErrRights, path, answer.Message)
	case answered && answer.Status == http.StatusNotFound, err == nil && c.Proxy.API != apiVersion:
		err = fmt.Errorf("%w: %s: it is version %q: run the command of the version that is running, or restart the proxy", ErrVersion, path, c.Proxy.Version)
	case err != nil:
		err = atSocket(path, err)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connections that are kept.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Do sends a request with body as JSON, if that is not nil, and reads the answer
// into into, if that is not nil. An answer other than 200 is a *StatusError.
func (c *Client) Do(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin.socket"+path, content)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("cannot read the answer of the proxy: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return statusError(resp.StatusCode, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("cannot read the answer of the proxy: %w", err)
	}
	return nil
}

// statusError makes an error of an answer: {"success":false,"error":"..."}.
func statusError(status int, text []byte) error {
	var answer struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &answer) != nil || answer.Error == "" {
		answer.Error = "the answer is " + strconv.Itoa(status) + " " + http.StatusText(status)
	}
	return &StatusError{Status: status, Message: answer.Error}
}

// atSocket makes an error of a failure to reach the proxy at path.
func atSocket(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: none listens on %s", ErrNotRunning, path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %s: run the command as %s", ErrRights, path, usersOf(path))
	}
	return fmt.Errorf("cannot ask the proxy at %s: %w", path, err)
}

// usersOf names the users who may use a socket: root, and the owner of the socket or, if
// that cannot be seen, of the nearest directory above it that can.
func usersOf(path string) string {
	info, err := os.Lstat(path)
	for err != nil && path != "/" && path != "." {
		path = filepath.Dir(path)
		info, err = os.Lstat(path)
	}
	if err != nil {
		return "root"
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return "root"
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return "user " + u.Username + " or as root"
	}
	return "uid " + uid + " or as root"
}

// sameFile reports whether two paths name one file. If one of them cannot be examined, it
// compares the names.
func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(x, y)
	}
	if abs, err := filepath.Abs(a); err == nil {
		a = abs
	}
	return filepath.Clean(a) == filepath.Clean(b)
}
