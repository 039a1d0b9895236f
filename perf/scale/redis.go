package scale

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/perf/lab"
)

// store is a redis-server, which the proxies reach through a network with faults.
type store struct {
	bench   *lab.Bench
	program string
	dir     string
	addr    string
	server  *lab.Process
	network *lab.Network
	gate    string // where the proxies connect
	key     string // file of the key that seals tokens
}

// gateName is the store's in the network.
const gateName = "redis"

// startStore starts the server and the network before it.
func startStore(b *lab.Bench) *store {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		lab.Failf("%w: install it, for example by apt-get install redis-server", err)
	}
	r := &store{bench: b, program: program, dir: b.Folder(), addr: lab.FreeAddress(), key: filepath.Join(b.Folder(), "key")}
	lab.Check(os.WriteFile(r.key, []byte(seal.GenerateKey()+"\n"), 0o600))
	r.start(true)
	r.network = b.StartNetwork()
	r.gate = r.network.Between(gateName, r.addr)
	return r
}

// start starts the server, which keeps its data over a restart or not.
func (r *store) start(keep bool) {
	r.server = r.serve(r.addr, keep)
}

// serve starts a server.
func (r *store) serve(addr string, keep bool) *lab.Process {
	host, port, err := net.SplitHostPort(addr)
	lab.Check(err)
	aof := "no"
	if keep {
		aof = "yes"
	}
	p := r.bench.Start(nil, r.program, "--bind", host, "--port", port, "--dir", r.dir, "--save", "", "--appendonly", aof,
		"--appendfsync", "everysec", "--appenddirname", "aof-"+port)
	p.Discard()
	p.WaitReady(addr)
	for lab.Try(func() { r.order(addr, "PING") }) != nil { // it loads its data
		if p.Ended() {
			lab.Failf("redis-server ended")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return p
}

// kill ends the server at once, and starts it again after a while.
func (r *store) kill(away time.Duration, keep bool) {
	r.server.Signal(syscall.SIGKILL)
	r.server.Stop()
	time.Sleep(away)
	if !keep {
		lab.Check(os.RemoveAll(r.dir))
		lab.Check(os.Mkdir(r.dir, 0o700))
	}
	r.start(keep)
}

// promote has a replica take the place of the server.
func (r *store) promote() {
	addr := lab.FreeAddress()
	replica := r.serve(addr, false)
	host, port, err := net.SplitHostPort(r.addr)
	lab.Check(err)
	r.order(addr, "REPLICAOF "+host+" "+port)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.order(addr, "INFO replication"), "master_link_status:up"); {
		if time.Now().After(deadline) {
			lab.Failf("the replica does not follow")
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.server.Signal(syscall.SIGKILL)
	r.server.Stop()
	r.order(addr, "REPLICAOF NO ONE")
	r.server, r.addr = replica, addr
	r.network.Redirect(gateName, addr)
}

// order sends a command to a server, and returns its answer.
func (r *store) order(addr, command string) string {
	conn := lab.Must(net.DialTimeout("tcp", addr, time.Second))
	defer conn.Close()
	lab.Check(conn.SetDeadline(time.Now().Add(5 * time.Second)))
	_ = lab.Must(fmt.Fprintf(conn, "%s\r\n", command))
	in := bufio.NewReader(conn)
	line := strings.TrimSpace(lab.Must(in.ReadString('\n')))
	length, bulk := strings.CutPrefix(line, "$")
	switch {
	case strings.HasPrefix(line, "-"):
		lab.Failf("redis: %s: %s", command, line)
	case !bulk, length == "-1": // there is no such value
		return line
	}
	text := make([]byte, lab.Must(strconv.Atoi(length)))
	for read := 0; read < len(text); {
		read += lab.Must(in.Read(text[read:]))
	}
	return string(text)
}

// section is what a proxy's configuration says of the store.
func (r *store) section(proxy int) map[string]any {
	return map[string]any{"url": "redis://" + r.gate, "node": fmt.Sprint("mx", proxy+1), "key": "file:" + r.key}
}

// ticks is how many units of CPU time of /proc are a second.
const ticks = 100

// storeCPU is the CPU time of the store's process, in seconds; 0 without one. Another process
// begins at 0.
func (s *stand) storeCPU() float64 {
	if s.store == nil || s.store.server.Ended() {
		return 0
	}
	text := string(lab.Must(os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.store.server.PID()))))
	_, rest, _ := strings.Cut(text, ") ")
	fields := strings.Fields(rest)
	return (lab.Must(strconv.ParseFloat(fields[11], 64)) + lab.Must(strconv.ParseFloat(fields[12], 64))) / ticks
}
