package adminclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asOther has the test binary find the proxy at the path that it names, and print
// what Find says.
const asOther = "ADMINCLIENT_TEST_PATH"

func TestMain(m *testing.M) {
	if path := os.Getenv(asOther); path != "" {
		_, err := Find(context.Background(), []string{path}, "")
		fmt.Println(errors.Is(err, ErrRights), err)
		return
	}
	os.Exit(m.Run())
}

// serve answers GET /admin/info at a socket of its own, and returns the socket.
func serve(t *testing.T, status int, info string) string {
	t.Helper()
	path := filepath.Join(shortDir(t), "admin.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/admin/info":
			w.WriteHeader(status)
			fmt.Fprint(w, info)
		case "/admin/reload":
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"success":false,"error":"the file is wrong"}`)
		case "/admin/bare":
			w.WriteHeader(http.StatusBadGateway)
		case "/admin/echo":
			body := make([]byte, r.ContentLength)
			_, _ = r.Body.Read(body)
			fmt.Fprintf(w, `{"method":%q,"body":%q}`, r.Method, body)
		}
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(ln) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return path
}

// shortDir is a directory that every user can reach, with a short path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func infoOf(accounts string) string {
	return fmt.Sprintf(`{"success":true,"api":1,"version":"1.2","revision":"r","pid":7,"accounts_file":%q}`, accounts)
}

func TestFind(t *testing.T) {
	dir := shortDir(t)
	accounts, link := filepath.Join(dir, "accounts.json"), filepath.Join(dir, "link.json")
	if err := errors.Join(os.WriteFile(accounts, []byte("[]"), 0o600), os.Symlink(accounts, link)); err != nil {
		t.Fatal(err)
	}
	none, stale, file := filepath.Join(dir, "none.sock"), filepath.Join(dir, "stale.sock"), accounts
	ln, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = ln.Close()
	mine, other := serve(t, 200, infoOf(link)), serve(t, 200, infoOf(filepath.Join(dir, "other.json")))
	later, earlier, refuses := serve(t, 200, `{"success":true,"api":2,"version":"9.9"}`), serve(t, 404, `{"success":false,"error":"not found"}`),
		serve(t, 403, `{"success":false,"error":"serves root only"}`)
	noise := serve(t, 200, "SMTP")
	for _, tt := range []struct {
		name, accounts string
		paths          []string
		want           error // nil: mine
		says           string
	}{
		{"first", accounts, []string{mine, other}, nil, ""},
		{"behind a link", link, []string{mine}, nil, ""},
		{"any accounts", "", []string{mine}, nil, ""},
		{"passed over", accounts, []string{none, stale, file + "/x", other, later, refuses, mine}, nil, ""},
		{"nowhere", accounts, nil, ErrNotRunning, ""},
		{"none", accounts, []string{none, stale}, ErrNotRunning, "none listens on " + none + ", " + stale},
		{"another's", accounts, []string{none, other}, ErrOther, "the one at " + other + " (pid 7) serves " + dir + "/other.json, and not " + accounts},
		{"later version", accounts, []string{none, later}, ErrVersion, `it is version "9.9"`},
		{"earlier version", accounts, []string{earlier}, ErrVersion, "run the command of the version that is running"},
		{"refused", accounts, []string{refuses}, ErrRights, "serves root only"},
		{"another service", accounts, []string{noise}, nil, "cannot read the answer"},
	} {
		c, err := Find(t.Context(), tt.paths, tt.accounts)
		switch {
		case err == nil && tt.want == nil && tt.says == "":
			if c.Path != mine || c.Proxy.PID != 7 || c.Proxy.Version != "1.2" {
				t.Errorf("%s: %+v", tt.name, c)
			}
			c.Close()
		case err == nil:
			t.Errorf("%s: found %s", tt.name, c.Path)
			c.Close()
		case tt.want != nil && !errors.Is(err, tt.want), !strings.Contains(err.Error(), tt.says), tt.want == nil && tt.says == "":
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestFindAsAnotherUser has a proxy whose socket is for its owner alone.
func TestFindAsAnotherUser(t *testing.T) {
	path := serve(t, 200, infoOf("/a.json"))
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		if _, err := Find(t.Context(), []string{path}, ""); !errors.Is(err, ErrRights) {
			t.Errorf("%v", err)
		}
		return
	}
	cmd := exec.Command("/proc/self/exe") // the directory of the test may be closed to others
	cmd.Env, cmd.Dir = []string{asOther + "=" + path}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") || !strings.Contains(string(out), path+": run the command as root\n") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestDo(t *testing.T) {
	c, err := Open(t.Context(), serve(t, 200, infoOf("/a.json")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var echo struct{ Method, Body string }
	if err := c.Do(t.Context(), "PUT", "/admin/echo", map[string]int{"n": 1}, &echo); err != nil || echo.Method != "PUT" || echo.Body != `{"n":1}` {
		t.Errorf("%+v, %v", echo, err)
	}
	if err := c.Do(t.Context(), "GET", "/admin/echo", nil, nil); err != nil {
		t.Error(err)
	}
	for path, want := range map[string]StatusError{"/admin/reload": {422, "the file is wrong"}, "/admin/bare": {502, "the answer is 502 Bad Gateway"}} {
		err := c.Do(t.Context(), "POST", path, nil, nil)
		if got, ok := errors.AsType[*StatusError](err); !ok || *got != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Do(ended, "GET", "/admin/info", nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
