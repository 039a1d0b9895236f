//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// eximBinary is where e2e/install unpacks Exim, which Debian does not install
// beside Postfix.
const eximBinary = "build/exim/usr/sbin/exim4"

// eximConfig makes the proxy the smart host. Each sender logs in as itself.
const eximConfig = `primary_hostname = mta.example.com
exim_path = %[5]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
keep_environment =
message_size_limit = 50M

begin routers
smart_host:
  driver = manualroute
  transport = proxy
  route_list = * 127.0.0.1 byname
  self = send

begin transports
proxy:
  driver = smtp
  port = %[2]s
  allow_localhost
  hosts_require_auth = *
  %[6]s

begin retry
* * F,1h,1m

begin authenticators
client:
  public_name = %[3]s
  %[4]s
`

// Whether Exim uses TLS.
const (
	eximClear = "hosts_avoid_tls = *"
	eximTLS   = "hosts_require_tls = *"
)

// eximAuthenticators are the settings of the mechanisms.
var eximAuthenticators = map[string]string{
	"PLAIN": "driver = plaintext\n  client_send = ^$sender_address^" + clientPassword,
	"LOGIN": "driver = plaintext\n  client_send = : $sender_address : " + clientPassword,
	// Here Exim takes no name that comes from outside: the sender picks one.
	"CRAM-MD5": "driver = cram_md5\n  client_name = ${if eq{$sender_address}{" + gmailUser + "}{" + gmailUser + "}{" + outlookUser + "}}\n  client_secret = " + clientPassword,
}

// TestExim hands the corpus to Exim, whose smart host is the proxy.
func TestExim(t *testing.T) {
	exim := eximProgram(t)
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			sendByExim(t, exim, s, mechanism, eximClear, corpus())
		})
	}
}

// TestEximTLS has Exim use STARTTLS, and passwords that are checked.
func TestEximTLS(t *testing.T) {
	exim := eximProgram(t)
	for mechanism := range eximAuthenticators {
		t.Run(mechanism, func(t *testing.T) {
			s := newSecured(t)
			dir := sendByExim(t, exim, s.stack, mechanism, eximTLS, smallLetters())
			log, err := os.ReadFile(filepath.Join(dir, "log", "main"))
			if err != nil || !strings.Contains(string(log), " X=TLS1.") || !strings.Contains(string(log), " A=client") {
				t.Errorf("no TLS and no login in Exim's log: %v\n%s", err, log)
			}
		})
	}
}

// sendByExim sends letters and returns Exim's directory.
func sendByExim(t *testing.T, exim string, s *stack, mechanism, tlsMode string, letters []letter) (dir string) {
	t.Helper()
	dir, config := configureExim(t, exim, s, mechanism, tlsMode)
	sendLetters(t, s, letters, func(t *testing.T, m mail) {
		// -odf delivers before it returns.
		mustRun(t, withLF(m.content), exim, "-C", config, "-odf", "-i", "-f", m.from, "--", m.to[0])
	}, s.arrivedTraced)
	return dir
}

// configureExim makes a configuration and a directory for Exim.
func configureExim(t *testing.T, exim string, s *stack, mechanism, tlsMode string) (dir, config string) {
	t.Helper()
	dir = eximDir(t, s)
	config = s.write(t, "exim.conf", fmt.Appendf(nil, eximConfig, dir, s.port(), mechanism, eximAuthenticators[mechanism], exim, tlsMode))
	t.Cleanup(func() { logEximFailure(t, dir) })
	return dir, config
}

// eximProgram returns the path of Exim.
func eximProgram(t *testing.T) string {
	t.Helper()
	mustBeRoot(t, "Exim")
	exim, err := filepath.Abs(eximBinary) // it runs itself by this name
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(exim); err != nil {
		t.Fatalf("Exim is missing: run e2e/install as root (%v)", err)
	}
	return exim
}

// eximDir makes a directory that belongs to the user that Exim runs as.
func eximDir(t *testing.T, s *stack) string {
	t.Helper()
	const name = "Debian-exim"
	owner, err := user.Lookup(name)
	if err != nil {
		t.Fatalf("the user %s is missing: run e2e/install as root (%v)", name, err)
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(s.dir, "exim")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	return dir
}

func logEximFailure(t *testing.T, dir string) {
	if !t.Failed() {
		return
	}
	for _, name := range []string{"main", "reject", "panic"} {
		if text, err := os.ReadFile(filepath.Join(dir, "log", name)); err == nil {
			t.Logf("%s log of Exim:\n%s", name, tail(string(text), 8<<10))
		}
	}
}
