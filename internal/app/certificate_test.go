package app

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/testkit"
)

// renew writes a new certificate of that name, with another time of change than
// the files had before.
func renew(t *testing.T, s config.Server, name string, changed time.Time) {
	t.Helper()
	cert, key := testkit.PEM(testkit.Certificate(name))
	replace(t, s.CertFile, cert, changed)
	replace(t, s.KeyFile, key, changed)
}

func replace(t *testing.T, file string, content []byte, changed time.Time) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, changed, changed); err != nil {
		t.Fatal(err)
	}
}

func certificateFiles(t *testing.T) config.Server {
	dir := t.TempDir()
	return config.Server{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
}

// shown runs a handshake and returns the name in the certificate.
func shown(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	served := make(chan error, 1)
	go func() { served <- tls.Server(theirs, cfg).Handshake() }()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}) // nothing is sent after the handshake
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestCertificateRenewal changes the files under a running configuration: the
// new certificate is shown without a restart, and one that is no good leaves the
// old one in use and is reported.
func TestCertificateRenewal(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	s := certificateFiles(t)
	at := time.Now().Add(-time.Hour)
	renew(t, s, "first", at)
	c, err := loadCertificate(s, zap.New(core), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	cfg := c.config()
	later := func(d time.Duration) time.Time { return at.Add(d) }
	recheckNow := func() {
		c.mu.Lock()
		c.checked = time.Time{}
		c.mu.Unlock()
	}
	check := func(step, want string) {
		t.Helper()
		if got := shown(t, cfg); got != want {
			t.Errorf("%s: shown is %q, want %q", step, got, want)
		}
	}
	check("at the start", "first")
	renew(t, s, "second", later(time.Minute))
	check("looked at a moment ago", "first")
	recheckNow()
	check("renewed", "second")
	for step, spoil := range map[string]func(){
		"no PEM": func() { replace(t, s.CertFile, []byte("nothing"), later(2*time.Minute)) },
		"another's key": func() {
			other := certificateFiles(t)
			renew(t, other, "other", at)
			copyFile(t, other.KeyFile, s.KeyFile)
		},
		"a file gone": func() { _ = os.Remove(s.KeyFile) },
	} {
		spoil()
		recheckNow()
		before := logs.FilterLevelExact(zapcore.ErrorLevel).Len()
		check(step, "second")
		if logs.FilterLevelExact(zapcore.ErrorLevel).Len() != before+1 {
			t.Errorf("%s: not reported", step)
		}
		renew(t, s, "second", later(time.Hour))
		recheckNow()
		check(step+", repaired", "second")
	}
}

// TestRepairedWithoutANewTime has files that could not be used for a reason that does not show
// in their times, such as a mode: they are in use when the reason is gone.
func TestRepairedWithoutANewTime(t *testing.T) {
	s := certificateFiles(t)
	at := time.Now().Add(-time.Hour)
	renew(t, s, "first", at)
	core, logs := observer.New(zapcore.ErrorLevel)
	c, err := loadCertificate(s, zap.New(core), metrics.NewSet())
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(time.Minute)
	renew(t, s, "unreadable", at)
	replace(t, s.CertFile, []byte("nothing"), at)
	for range 3 {
		if c.reload() == nil {
			t.Error("nothing was taken for a certificate")
		}
	}
	if logs.Len() != 1 {
		t.Errorf("logged %d times", logs.Len())
	}
	renew(t, s, "second", at)
	if err := c.reload(); err != nil {
		t.Error(err)
	}
	if got := shown(t, c.config()); got != "second" {
		t.Errorf("shown is %q", got)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, to, text, time.Now().Add(time.Hour))
}

// TestClientTLS has what keeps the proxy from starting, and that old versions of
// TLS are refused.
func TestClientTLS(t *testing.T) {
	c, err := loadCertificate(config.Server{}, zap.NewNop(), metrics.NewSet())
	if cfg := c.config(); cfg != nil || err != nil {
		t.Errorf("without a certificate: %v, %v", cfg, err)
	}
	s := certificateFiles(t)
	if _, err := loadCertificate(s, zap.NewNop(), metrics.NewSet()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without the files: %v", err)
	}
	renew(t, s, "mx.example.com", time.Now())
	c, err = loadCertificate(s, zap.NewNop(), metrics.NewSet())
	if cfg := c.config(); err != nil || cfg.MinVersion != tls.VersionTLS12 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// TestBadCertificateIsNamed replaces the certificate of a running proxy, to which no client
// connects: log, admin API and metrics say what is wrong with the new one, and when it is
// right again.
func TestBadCertificateIsNamed(t *testing.T) {
	provider, f := apptest.NewSandbox(t, "user@gmail.com")
	files := certificateFiles(t)
	renew(t, files, "first", time.Now().Add(-time.Hour))
	apptest.WriteFile(t, f.Config, fmt.Sprintf(`{"upstream": {"ca_file": %q}, "server": {"cert_file": %q, "key_file": %q}}`, f.CA, files.CertFile, files.KeyFile))
	s := startStack(t, provider, f)
	s.Want(200, []string{"tls_certificate_refused 0"}, "GET", "/metrics", "")
	at := time.Now().Add(-time.Minute)
	for spoilt, spoil := range map[string]func(){
		"failed to find any PEM data": func() { replace(t, files.CertFile, []byte("nothing"), at) },
		"does not match": func() {
			other := certificateFiles(t)
			renew(t, other, "other", at)
			copyFile(t, other.KeyFile, files.KeyFile)
		},
		"no such file": func() { _ = os.Remove(files.KeyFile) },
	} {
		spoil()
		s.WaitLog(1, "the new certificate cannot be used", spoilt) // nothing asked for a reload
		if text := s.Want(200, []string{`"certificate_error":"`}, "POST", "/admin/reload", ""); !strings.Contains(text, spoilt) {
			t.Errorf("the answer is %s", text)
		}
		s.Want(200, []string{"tls_certificate_refused 1"}, "GET", "/metrics", "")
		at = at.Add(time.Second)
		renew(t, files, "second", at)
		at = at.Add(time.Second)
		if text := s.Want(200, nil, "POST", "/admin/reload", ""); strings.Contains(text, "certificate_error") {
			t.Errorf("repaired: %s", text)
		}
		s.Want(200, []string{"tls_certificate_refused 0"}, "GET", "/metrics", "")
	}
}
