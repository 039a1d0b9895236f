package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/sandbox"
)

// demoCmd runs a sandbox and a proxy that relays to it in one process.
type demoCmd struct {
	Dir         string `help:"Files of the demonstration, and the mail that arrives." default:"run" placeholder:"DIR"`
	Port        int    `help:"Clients connect to this port of 127.0.0.1; 0 picks a free one." default:"2525" placeholder:"PORT"`
	AdminPort   int    `help:"Port of metrics and health; 0 picks a free one." default:"9090" placeholder:"PORT"`
	SandboxPort int    `help:"Port of the sandbox's API; 0 picks a free one." default:"8025" placeholder:"PORT"`
	LogLevel    string `help:"debug, info, warn or error." default:"info" enum:"debug,info,warn,error" placeholder:"LEVEL"`
}

// Run implements the command.
func (c *demoCmd) Run() error {
	mail := filepath.Join(c.Dir, "mail")
	provider, files, err := startSandbox(sandbox.Config{
		HTTP:     fmt.Sprintf("127.0.0.1:%d", c.SandboxPort),
		Accounts: sandbox.SampleAccounts(4),
		Store:    sandbox.StoreConfig{Mode: sandbox.ModeDir, Dir: mail, Accepted: func(m *sandbox.Message) { tell(os.Stdout, mail, m) }},
	}, c.Dir)
	if err != nil {
		return err
	}
	defer provider.Close()
	p, err := prepare(func() (*config.Settings, *account.Snapshot, *keyfile.Report, error) { return c.load(files) }, nil)
	if err != nil {
		return err
	}
	return p.serve(func(p *app.Proxy) { introduce(p, provider, files, mail) })
}

// load reads the files of the demonstration and applies the command line.
func (c *demoCmd) load(f sandbox.ProxyFiles) (*config.Settings, *account.Snapshot, *keyfile.Report, error) {
	s := serveCmd{files: files{Config: f.Config, Accounts: f.Accounts}, Port: &c.Port, AdminPort: &c.AdminPort}
	settings, accounts, report, err := s.load()
	if err == nil {
		settings.Log.Level = c.LogLevel
		settings.Accounting.Directory, err = filepath.Abs(filepath.Join(c.Dir, "accounting"))
	}
	return settings, accounts, report, err
}

// tell says that a message has arrived at the provider, on one line. It quotes what clients
// chose.
func tell(w io.Writer, dir string, m *sandbox.Message) {
	to := make([]string, len(m.Recipients))
	for i, r := range m.Recipients {
		to[i] = fmt.Sprintf("%q", r.Path)
	}
	fmt.Fprintf(w, "arrived: message %d at %s from %q to %s, %d octets: %s\n",
		m.ID, m.Account, m.ReversePath, strings.Join(to, ", "), m.Size, filepath.Join(dir, fmt.Sprintf("%06d.eml", m.ID)))
}

// introduce tells how to send a first message, and where to read it.
func introduce(p *app.Proxy, provider *sandbox.Server, files sandbox.ProxyFiles, mail string) {
	fmt.Printf(`
The proxy is ready, and so is a provider to try it with. Nothing leaves this machine.

Send a first message:

  printf 'From: test@example.com\r\nTo: recipient@gmail.com\r\nSubject: Hello\r\n\r\nIt works.\r\n' |
    curl --url smtp://%[1]s --user user@gmail.com:placeholder \
      --mail-from test@example.com --mail-rcpt recipient@gmail.com --upload-file -

or, with swaks:

  swaks --server %[1]s --auth-user user@gmail.com --auth-password placeholder \
    --from test@example.com --to recipient@gmail.com

A line here tells of each message that arrives. See what is in them:

  ls %[2]s/                  the messages (.eml) and their envelopes (.json)
  curl http://%[3]s/messages

Look on:

  curl http://%[4]s/metrics
  cat %[6]s/*.csv     what became of each recipient
  cat %[5]s                the accounts: user@gmail.com, user@outlook.com, ...

Ctrl-C ends it.

`, addrOf(p.ClientAddrs()[0]), mail, provider.HTTPAddr(), addrOf(p.AdminAddr()), files.Accounts, filepath.Join(filepath.Dir(mail), "accounting"))
}

// addrOf returns the address that a client on this machine can connect to.
func addrOf(a net.Addr) string {
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", tcp.Port)
	}
	return a.String()
}
