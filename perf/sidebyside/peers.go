package sidebyside

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/perf/lab"
)

// errNotInstalled is returned for a peer whose program is not there.
var errNotInstalled = errors.New("not installed, see perf/peers.sh")

// lookPath finds a program, also where only root has its path.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path, err := exec.LookPath("/usr/sbin/" + name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, errNotInstalled)
	}
	return path, nil
}

// startHAProxy starts HAProxy as a TCP tunnel with one thread.
func startHAProxy(b *lab.Bench, sink *lab.Provider) (*lab.Candidate, error) {
	program, err := lookPath("haproxy")
	if err != nil {
		return nil, err
	}
	dir, addr := b.Folder(), lab.FreeAddress()
	config := fmt.Sprintf(`global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 5m
    timeout server 5m
listen smtp
    bind %s
    server sink %s
`, addr, sink.Plain)
	file := filepath.Join(dir, "haproxy.cfg")
	lab.Check(os.WriteFile(file, []byte(config), 0o600))
	return startPeer(b, "HAProxy, TCP mode, 1 thread", addr, program, "-db", "-f", file)
}

// startNginx starts nginx as a mail proxy with one worker. Its question to
// whom a login belongs is answered by us.
func startNginx(b *lab.Bench, sink *lab.Provider) (*lab.Candidate, error) {
	program, err := lookPath("nginx")
	if err != nil {
		return nil, err
	}
	auth := serveAuthHTTP(sink.Plain)
	dir, addr := b.Folder(), lab.FreeAddress()
	module := ""
	if path := "/usr/lib/nginx/modules/ngx_mail_module.so"; exists(path) {
		module = "load_module " + path + ";\n"
	}
	config := fmt.Sprintf(`%sdaemon off;
worker_processes 1;
pid %[2]s/nginx.pid;
error_log %[2]s/nginx.log warn;
events { worker_connections 4000; }
mail {
    server_name localhost;
    auth_http %[3]s;
    server {
        listen %[4]s;
        protocol smtp;
        smtp_auth plain login;
        smtp_capabilities PIPELINING 8BITMIME "SIZE 104857600";
        xclient off;
        timeout 5m;
        proxy_timeout 5m;
    }
}
`, module, dir, auth, addr)
	file := filepath.Join(dir, "nginx.conf")
	lab.Check(os.WriteFile(file, []byte(config), 0o600))
	return startPeer(b, "nginx mail proxy, 1 worker", addr, program, "-p", dir, "-c", file, "-e", filepath.Join(dir, "nginx.log"))
}

// startPeer starts a program and waits until it listens.
func startPeer(b *lab.Bench, name, addr, program string, args ...string) (*lab.Candidate, error) {
	process := b.Start(nil, program, args...)
	process.WaitReady(addr)
	return &lab.Candidate{Name: name, Addr: addr, Process: process}, nil
}

// exists reports whether there is such a file.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// serveAuthHTTP answers nginx's auth_http requests until the program ends:
// every login is right and belongs on the sink.
func serveAuthHTTP(sink string) (address string) {
	host, port, err := net.SplitHostPort(sink)
	lab.Check(err)
	l := lab.Must(net.Listen("tcp", "127.0.0.1:0"))
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { // ends with the program
			w.Header().Set("Auth-Status", "OK")
			w.Header().Set("Auth-Server", host)
			w.Header().Set("Auth-Port", port)
		}))
	}()
	return l.Addr().String() + "/auth"
}

// smtpSource sends messages straight to the sink with Postfix's load generator
// and returns how many it sent in a second: another loader's view of the limit.
func smtpSource(sink *lab.Provider, connections int, octets int, messages int) (perSecond float64, err error) {
	program, err := lookPath("smtp-source")
	if err != nil {
		return 0, err
	}
	start := time.Now()
	out, err := exec.Command(program, "-d", "-4", "-s", strconv.Itoa(connections), "-m", strconv.Itoa(messages),
		"-l", strconv.Itoa(octets), "-f", "a@example.com", "-t", "b@example.net", "inet:"+sink.Plain).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("smtp-source: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return float64(messages) / time.Since(start).Seconds(), nil
}
