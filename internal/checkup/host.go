package checkup

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
)

// soon is how long before the end of a certificate check warns.
const soon = 30 * 24 * time.Hour

// certificates finds certificates that have ended, or end soon.
func (fs *Findings) certificates(s *config.Settings, accounts *account.Snapshot) {
	if path := s.Server.CertFile; path != "" {
		if _, err := s.Server.LoadCertificate(); err != nil {
			fs.add(Error, "%v", err)
		}
		if text, err := os.ReadFile(path); err == nil {
			fs.certificate("server.cert_file: "+path, string(text))
		}
	}
	for _, a := range accounts.All() {
		fs.certificate(a.Email+": client_certificate", a.Certificate)
	}
	fs.secrets(accounts)
}

// secrets finds client secrets that have ended, or end soon, one line for each client.
func (fs *Findings) secrets(accounts *account.Snapshot) {
	type client struct {
		id   string
		ends time.Time
	}
	seen := make(map[client]bool)
	for _, a := range accounts.All() {
		c := client{a.ClientID, a.SecretExpires.UTC()}
		if a.ClientSecret.IsZero() || a.SecretExpires.IsZero() || seen[c] || time.Until(c.ends) > soon {
			continue
		}
		seen[c] = true
		fs.add(Warning, "%s: client_secret_expires: the secret of client_id %s ends at %s", a.Email, a.ClientID, c.ends.Format(time.RFC3339))
	}
}

// certificate checks the first certificate of a PEM text.
func (fs *Findings) certificate(what, text string) {
	end, ok := CertificateEnd(text)
	if !ok {
		return
	}
	switch left := time.Until(end); {
	case left <= 0:
		fs.add(Error, "%s: the certificate has expired on %s", what, end.UTC().Format(time.DateOnly))
	case left <= soon:
		fs.add(Warning, "%s: the certificate expires on %s", what, end.UTC().Format(time.DateOnly))
	}
}

// CertificateEnd returns when the first certificate of a PEM text ends. ok is false if
// there is none.
func CertificateEnd(text string) (end time.Time, ok bool) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return time.Time{}, false
			}
			return c.NotAfter, true
		}
	}
	return time.Time{}, false
}

// directories finds directories that cannot be written to.
func (fs *Findings) directories(s *config.Settings) {
	for _, d := range []struct{ key, dir string }{
		{"state_dir", s.StateDir}, {"oauth.token_store", dirOf(s.OAuth.TokenStore)}, {"log.file", dirOf(s.Log.File)},
	} {
		if d.dir == "" {
			continue
		}
		info, err := os.Stat(d.dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			fs.add(Error, "%s: the directory %s does not exist", d.key, d.dir)
		case err != nil:
			fs.add(Error, "%s: %v", d.key, err)
		case !info.IsDir():
			fs.add(Error, "%s: %s is no directory", d.key, d.dir)
		default:
			if err := tryFile(d.dir); err != nil {
				fs.add(Error, "%s: %s cannot be written to by this user: %v", d.key, d.dir, err)
			}
		}
	}
	fs.accounting(s.AccountingDir())
	if s.AccountsFile != "" {
		if err := tryFile(dirOf(s.AccountsFile)); err != nil {
			fs.add(Warning, "%s: its directory cannot be written to by this user (%v): commands and the admin API cannot change accounts", s.AccountsFile, err)
		}
	}
}

// accounting looks whether files can be made in the directory of the accounting log, or the
// directory itself in the first one above it that is there.
func (fs *Findings) accounting(dir string) {
	if dir == "" {
		return
	}
	at := dir
	for {
		info, err := os.Stat(at)
		switch {
		case errors.Is(err, os.ErrNotExist) && at != filepath.Dir(at):
			at = filepath.Dir(at)
			continue
		case err == nil && !info.IsDir():
			err = errors.New("it is no directory")
		case err == nil:
			err = tryFile(at)
		}
		if err != nil {
			fs.add(Error, "accounting.directory: files cannot be made in %s by this user: %s: %v", dir, at, err)
		}
		return
	}
}

// tryFile makes a file in the directory for a moment. The error does not repeat the path.
func tryFile(dir string) error {
	f, err := os.CreateTemp(dir, ".xoauth2-proxy-check-*")
	if err != nil {
		return keyfile.WithoutPath(err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// dirOf returns the directory of a file, "" for none.
func dirOf(file string) string {
	if file == "" {
		return ""
	}
	return filepath.Dir(file)
}

// addresses finds addresses that this host does not have, or cannot use.
func (fs *Findings) addresses(s *config.Settings, accounts *account.Snapshot) {
	for _, l := range s.Server.Listeners {
		fs.listener("listeners: "+l.Address, l.Address)
	}
	fs.listener("admin.address: "+s.Admin.Address, s.Admin.Address)
	for _, line := range UnusableSources(accounts) {
		fs.add(Error, "%s", line)
	}
}

// UnusableSources names the accounts that cannot connect from their ip_address: this host
// does not have it, or it is of another family than the address of the provider.
func UnusableSources(accounts *account.Snapshot) (lines []string) {
	binds := make(map[netip.Addr]error)
	for _, a := range accounts.All() {
		source := a.SourceIP
		if !source.IsValid() {
			continue
		}
		err, known := binds[source]
		if !known {
			err = bind(netip.AddrPortFrom(source, 0).String())
			binds[source] = err
		}
		line := a.Email + ": ip_address: "
		host, noIP := netip.ParseAddr(a.SMTP.Host)
		switch {
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			line += "this host does not have " + source.String() + "; take it out, or give it to an interface"
		case err != nil:
			line += "no connection can be made from it: " + err.Error()
		case noIP == nil && host.Unmap().Is4() != source.Is4():
			line += "no connection can be made from " + source.String() + " to " + host.String()
		default:
			continue
		}
		lines = append(lines, line)
	}
	return lines
}

// listener tries to listen on an address, if it is one of IP.
func (fs *Findings) listener(what, address string) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return
	}
	switch err := bind(address); {
	case err == nil:
	case errors.Is(err, syscall.EADDRINUSE):
		fs.add(Note, "%s: is in use, maybe by the running proxy", what)
	default:
		fs.add(Error, "%s: cannot be listened on: %v", what, err)
	}
}

// bind listens on an address for a moment.
func bind(address string) error {
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	return ln.Close()
}

// spareDescriptors are for files, the admin server and token endpoints.
const spareDescriptors = 200

// descriptors compares the limit of open files with what clients and accounts may need.
func (fs *Findings) descriptors(s *config.Settings, accounts *account.Snapshot) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return
	}
	needed := uint64(s.Server.MaxConnections) + spareDescriptors
	connections := uint64(0)
	for _, a := range accounts.All() {
		connections += uint64(a.Limits.MaxConnections)
	}
	if needed += connections; limit.Max < needed {
		fs.add(Warning, "the limit of open files is %d, and %d may be needed: %s. Raise it (LimitNOFILE= of the unit, ulimit -n), or lower server.max_connections",
			limit.Max, needed, strings.Join([]string{
				plural(uint64(s.Server.MaxConnections), "clients"), plural(connections, "connections of accounts"), plural(spareDescriptors, "others")}, ", "))
	}
}

func plural(n uint64, what string) string { return strconv.FormatUint(n, 10) + " " + what }
