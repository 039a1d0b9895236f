//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
)

// postfix is a Postfix of the test's own that relays through the proxy.
type postfix struct {
	config string // its directory
	addr   string // where its SMTP server listens

	logs chan struct{} // has a value after something was logged

	mu  sync.Mutex // guards log
	log bytes.Buffer
}

// mainCF makes the proxy the relay host. Each sender logs in as itself, so
// that one Postfix serves all accounts, as operators have it.
const mainCF = `compatibility_level = 2
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = /dev/stdout
myhostname = mta.example.com
mydestination =
local_transport = error:no local mail
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = none
message_size_limit = 0
mailbox_size_limit = 0
notify_classes =
relayhost = [127.0.0.1]:%[2]s
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = texthash:%[1]s/passwords
smtp_sender_dependent_authentication = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_mechanism_filter = %[3]s
`

// masterCF has the services that a relay needs, none of them in a chroot.
const masterCF = `127.0.0.1:%s inet n - n - - smtpd
pickup    unix  n - n 1 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
smtp      unix  - - n - - smtp
tlsmgr    unix  - - n 1000? 1 tlsmgr
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
`

// startPostfix starts a Postfix that logs in at the proxy by mechanism. The
// settings in more go into main.cf too.
func startPostfix(t *testing.T, s *stack, mechanism string, more ...string) *postfix {
	t.Helper()
	mustBeRoot(t, "Postfix")
	command := program(t, "postfix")
	base, err := os.MkdirTemp(s.dir, "postfix-")
	if err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	p := &postfix{config: filepath.Join(base, "config"), addr: "127.0.0.1:" + port, logs: make(chan struct{}, 1)}
	for _, dir := range []string{base, p.config, filepath.Join(base, "queue")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	passwords := ""
	for _, login := range []string{gmailUser, outlookUser} {
		passwords += fmt.Sprintf("%s %s:%s\n", login, login, clientPassword)
	}
	for path, text := range map[string]string{
		filepath.Join(p.config, "main.cf"):   fmt.Sprintf(mainCF, base, s.port(), mechanism) + strings.Join(more, ""),
		filepath.Join(p.config, "master.cf"): fmt.Sprintf(masterCF, port),
		filepath.Join(base, "passwords"):     passwords,
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.start(t, command)
	return p
}

// start runs the master process until the end of the test.
func (p *postfix) start(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command(command, "-c", p.config, "start-fg")
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		out, err := exec.Command(command, "-c", p.config, "stop").CombinedOutput()
		if err != nil {
			t.Errorf("postfix stop: %v\n%s", err, out)
			_ = cmd.Process.Kill()
		}
		<-exited
		if t.Failed() {
			t.Logf("log of Postfix:\n%s", tail(p.logged(), 16<<10))
		}
	})
	if err := awaitListener(p.addr, exited); err != nil {
		t.Fatalf("Postfix: %v\n%s", err, p.logged())
	}
}

// Write implements io.Writer for the log.
func (p *postfix) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case p.logs <- struct{}{}:
	default:
	}
	return p.log.Write(b)
}

func (p *postfix) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// statuses returns what became of each recipient, once all of them are in the
// log after its first since octets: "sent", "bounced" or "deferred".
func (p *postfix) statuses(t *testing.T, to []string, since int) map[string]string {
	t.Helper()
	timeout := time.After(arrivalTimeout)
	for {
		found := map[string]string{}
		for _, m := range deliveryStatus.FindAllStringSubmatch(p.logged()[since:], -1) {
			if slices.Contains(to, m[1]) {
				found[m[1]] = m[2]
			}
		}
		if len(found) == len(to) {
			return found
		}
		select {
		case <-p.logs:
		case <-timeout:
			t.Fatalf("Postfix logged only %v of the recipients %q", found, to)
		}
	}
}

var deliveryStatus = regexp.MustCompile(`postfix/smtp\[.* to=<([^>]+)>.* status=(\w+) `)

// awaitListener polls until a server greets, for servers that do not tell when they are
// ready; an exit of the server ends the wait.
func awaitListener(addr string, exited chan error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
		select {
		case err := <-exited:
			exited <- err
			return fmt.Errorf("it ended: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestPostfixSendmail hands the corpus to Postfix's sendmail, as programs on
// a mail server do; Postfix relays it through the proxy.
func TestPostfixSendmail(t *testing.T) {
	sendmail := postfixSendmail(t)
	for _, mechanism := range []string{"plain", "login"} {
		t.Run(mechanism, func(t *testing.T) {
			s := newStack(t)
			p := startPostfix(t, s, mechanism)
			eachLetterTraced(t, s, func(t *testing.T, m mail) {
				mustRun(t, withLF(m.content), sendmail, "-C", p.config, "-i", "-f", m.from, "--", m.to[0])
			})
		})
	}
}

// TestPostfixTLS has Postfix relay through a proxy that asks for STARTTLS, whose
// certificate it checks, and for passwords.
func TestPostfixTLS(t *testing.T) {
	sendmail := postfixSendmail(t)
	s := newSecured(t)
	for _, mechanism := range []string{"plain", "login", "cram-md5"} {
		t.Run(mechanism, func(t *testing.T) {
			p := startPostfix(t, s.stack, mechanism, postfixTLS(s.ca)...)
			sendLetters(t, s.stack, smallLetters(), func(t *testing.T, m mail) {
				mustRun(t, withLF(m.content), sendmail, "-C", p.config, "-i", "-f", m.from, "--", m.to[0])
			}, s.arrivedTraced)
			if !strings.Contains(p.logged(), "Verified TLS connection established to 127.0.0.1") {
				t.Error("Postfix logged no verified TLS connection")
			}
		})
	}
}

// postfixTLS are the settings by which Postfix uses STARTTLS and checks the
// certificate.
func postfixTLS(ca string) []string {
	return []string{"smtp_tls_security_level = verify\n", "smtp_tls_verify_cert_match = localhost\n",
		"smtp_sasl_tls_security_options = noanonymous\n", "smtp_tls_loglevel = 1\n", "smtp_tls_CAfile = " + ca + "\n"}
}

// postfixSendmail returns Postfix's sendmail command, and not another MTA's.
func postfixSendmail(t *testing.T) string {
	t.Helper()
	out := mustRun(t, nil, program(t, "postconf"), "-d", "-h", "sendmail_path").stdout
	return program(t, strings.TrimSpace(string(out)))
}

// TestPostfixSMTPSource sends the corpus by smtp-source, which cannot log in,
// to a Postfix that can. smtp-source puts an empty line after a file.
func TestPostfixSMTPSource(t *testing.T) {
	source := program(t, "smtp-source")
	s := newStack(t)
	p := startPostfix(t, s, "plain")
	check := func(t *testing.T, m mail) {
		t.Helper()
		m.content = append(m.content, "\r\n"...)
		s.arrivedTraced(t, m)
	}
	sendLetters(t, s, corpus(), func(t *testing.T, m mail) {
		file := s.write(t, "message", withLF(m.content))
		mustRun(t, nil, source, "-F", file, "-f", m.from, "-t", m.to[0], p.addr)
	}, check)
}

// TestPostfixRecipients: Postfix pipelines all recipients of a message. What it
// then takes for sent is at the provider, and nothing else is.
func TestPostfixRecipients(t *testing.T) {
	sendmail := postfixSendmail(t)
	s := newStackWith(t, sandbox.Config{Accounts: accounts(gmailUser, outlookUser), Faults: recipientFaults})
	p := startPostfix(t, s, "plain")
	for _, tt := range recipientCases() {
		t.Run(tt.name, func(t *testing.T) {
			if err := s.provider.ClearMessages(); err != nil {
				t.Fatal(err)
			}
			since := len(p.logged())
			m := mail{login: gmailUser, from: gmailUser, content: compose("text/plain", "7bit", tt.name+"\r\n")}
			mustRun(t, withLF(m.content), sendmail, append([]string{"-C", p.config, "-i", "-f", m.from, "--"}, tt.to...)...)
			statuses := p.statuses(t, tt.to, since)
			for _, to := range tt.to {
				switch {
				case statuses[to] == "sent":
					m.to = append(m.to, to)
				case statuses[to] == "bounced" && to != unknownRecipient:
					t.Errorf("%s was bounced, which the provider did not refuse for good", to)
				}
			}
			if len(m.to) > 0 {
				s.arrivedTraced(t, m)
			} else if n := len(s.provider.Messages()); n != 0 {
				t.Errorf("nothing was sent as far as Postfix knows (%v), but %d messages are at the provider", statuses, n)
			}
		})
	}
}

// TestPostfixSMTPSourceBurst has smtp-source fill Postfix's queue over many
// sessions; all of it must come out at the provider once.
func TestPostfixSMTPSourceBurst(t *testing.T) {
	const sessions, messages = 10, 200
	source := program(t, "smtp-source")
	s := newStack(t)
	p := startPostfix(t, s, "plain")
	mustRun(t, nil, source, "-s", fmt.Sprint(sessions), "-m", fmt.Sprint(messages), "-l", "10240", "-N",
		"-f", gmailUser, "-t", "recipient@example.com", p.addr)
	s.arrivedOnce(t, messages)
}

// TestPostfixSMTPSourceWithoutLogin points smtp-source at the proxy itself,
// which wants to know the account first.
func TestPostfixSMTPSourceWithoutLogin(t *testing.T) {
	s := newStack(t)
	o, err := run(t.Context(), nil, program(t, "smtp-source"), "-f", gmailUser, "-t", "recipient@example.com", s.addr)
	if err != nil {
		t.Fatalf("smtp-source: %v: %v", err, o)
	}
	if o.code == 0 || !bytes.Contains(o.stderr, []byte("530 5.7.0")) {
		t.Errorf("want 530 5.7.0: %v", o)
	}
	if n := len(s.provider.Messages()); n != 0 {
		t.Errorf("%d messages are at the provider", n)
	}
}
