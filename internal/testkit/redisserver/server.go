// Package redisserver runs Debian's redis-server for tests, each in a directory of its own
// and on loopback, and does to it what happens to servers.
package redisserver

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"xoauth2-proxy/internal/testkit"
)

// Options is how a server differs from one that keeps nothing.
type Options struct {
	// AOF has each command on disk before it is answered.
	AOF bool
	// Users are lines of an access list, beside the default user, who may do everything
	// without a password.
	Users []string
	// Certificate and Key, in PEM form, have the server speak TLS too.
	Certificate, Key []byte
	// ReplicaOf copies another server.
	ReplicaOf *Server
}

// Server is a running redis-server. Its methods fail the test, and are for its goroutine.
type Server struct {
	Addr string // of 127.0.0.1
	TLS  string // address for TLS, or ""

	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
}

// Start starts a server and waits until it answers. The test ends it.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis-") // a short path, for the socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, Addr: freeAddress(t)}
	t.Cleanup(func() {
		s.Kill()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = []string{"--bind", "127.0.0.1", "--port", port, "--unixsocket", s.socket(), "--dir", dir, "--save", "", "--daemonize", "no",
		"--appendonly", "no", "--enable-debug-command", "local", "--repl-diskless-sync-delay", "0"}
	if o.AOF {
		s.args = append(s.args, "--appendonly", "yes", "--appendfsync", "always")
	}
	if len(o.Users) > 0 {
		list := append([]string{"user default on nopass ~* &* +@all"}, o.Users...)
		s.args = append(s.args, "--aclfile", s.write("users.acl", []byte(strings.Join(list, "\n")+"\n")))
	}
	if o.Certificate != nil {
		s.TLS = freeAddress(t)
		_, port, _ := net.SplitHostPort(s.TLS)
		s.args = append(s.args, "--tls-port", port, "--tls-auth-clients", "no",
			"--tls-cert-file", s.write("cert.pem", o.Certificate), "--tls-key-file", s.write("key.pem", o.Key), "--tls-ca-cert-file", filepath.Join(dir, "cert.pem"))
	}
	if o.ReplicaOf != nil {
		host, port, _ := net.SplitHostPort(o.ReplicaOf.Addr)
		s.args = append(s.args, "--replicaof", host+" "+port)
	}
	s.Restart()
	return s
}

func (s *Server) socket() string { return filepath.Join(s.dir, "redis.sock") }

// Socket is the path of the server's socket.
func (s *Server) Socket() string { return s.socket() }

func (s *Server) write(name string, text []byte) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// freeAddress returns an address of loopback on which nothing listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l := testkit.Listen(t)
	defer l.Close()
	return l.Addr().String()
}

// Restart starts the server again after Kill, at the same addresses, with what it has on
// disk.
func (s *Server) Restart() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command("redis-server", s.args...)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("cannot start redis-server (Debian: apt-get install redis-server): %v", err)
	}
	testkit.Settle(s.t, func() string {
		if answer, _ := s.try("PING"); answer != "PONG" {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return "no redis-server answers: " + string(text)
		}
		return ""
	})
}

// Kill ends the server with SIGKILL, if it runs.
func (s *Server) Kill() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // it may have ended
	_ = s.cmd.Wait()         // killed
	s.cmd = nil
}

// Freeze stops the server until Thaw (SIGSTOP).
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw has the server go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Promote makes a replica the server that others write to.
func (s *Server) Promote() {
	s.t.Helper()
	s.Do("REPLICAOF", "NO", "ONE")
}

// Synced waits until the replica has what its original has.
func (s *Server) Synced(original *Server) {
	s.t.Helper()
	testkit.Eventually(s.t, "the replica has all", func() bool {
		return strings.Contains(s.Do("INFO", "replication"), "master_link_status:up") && s.offset() == original.offset()
	})
}

func (s *Server) offset() string {
	s.t.Helper()
	info := s.Do("INFO", "replication")
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "master_repl_offset:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Do runs a command as the default user, and returns the answer as redis-cli shows it.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	answer, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("redis-cli %s: %v: %s", strings.Join(args, " "), err, answer)
	}
	return answer
}

func (s *Server) try(args ...string) (string, error) {
	out, err := exec.Command("redis-cli", append([]string{"-s", s.socket()}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// Settle has the server look as if it had had the data of a store of shared limits for long,
// which a new one has not: otherwise nothing is lent out at first. key is xp:epoch.
func (s *Server) Settle(key string) {
	s.t.Helper()
	run := regexp.MustCompile(`run_id:(\w+)`).FindStringSubmatch(s.Do("INFO", "server"))
	s.Do("SET", key, run[1]+" 1000000000000")
}

// CPU is how much processor time the server has used.
func (s *Server) CPU() time.Duration {
	s.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	const user, system, hertz = 11, 12, 100 // proc(5), after the name
	ticks := 0
	for _, at := range []int{user, system} {
		n, err := strconv.Atoi(fields[at])
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / hertz
}
