package app

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/metric"
)

// recheck is the shortest time between two looks at the files of the certificate.
const recheck = 5 * time.Second

// certificate is the certificate for clients. It reads its files again after they
// have changed, so that a renewal needs no restart. If the new files are unusable,
// the old certificate stays in use.
type certificate struct {
	settings config.Server
	log      *zap.Logger

	mu      sync.Mutex // guards the fields below
	current *tls.Certificate
	stamp   [2]time.Time // modification times of the files of current
	checked time.Time
	refused error // why the files that are there now cannot be used
}

// loadCertificate reads the files for the first time. Without a certificate in the settings
// it returns nil.
func loadCertificate(s config.Server, log *zap.Logger, set *metrics.Set) (*certificate, error) {
	if s.CertFile == "" {
		return nil, nil
	}
	c := &certificate{settings: s, log: log, checked: time.Now()}
	if err := c.load(); err != nil {
		return nil, err
	}
	metric.New(set, "tls_certificate_refused", "1 if the new certificate for clients cannot be used, else 0.").
		Do("The files of server.cert_file and server.key_file are wrong, and the old certificate stays in use: `check` says why.").Gauge(func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.refused != nil {
			return 1
		}
		return 0
	})
	metric.New(set, "tls_certificate_not_after_timestamp_seconds", "Seconds since 1970 at the end of the certificate for clients.").
		Do("Renew the certificate before: the proxy reads server.cert_file when it changes.").Gauge(func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.current.Leaf.NotAfter.Unix())
	})
	return c, nil
}

// config returns the TLS configuration for clients, nil without a certificate.
func (c *certificate) config() *tls.Config {
	if c == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// load reads the files. The caller holds mu, or is the only user of c.
func (c *certificate) load() error {
	stamp, err := c.modified()
	if err != nil {
		return err
	}
	pair, err := c.settings.LoadCertificate()
	if err != nil {
		return err
	}
	now := time.Now()
	if c.current != nil && pair.Leaf != nil && now.After(pair.Leaf.NotAfter) && now.Before(c.current.Leaf.NotAfter) {
		return fmt.Errorf("%s: the certificate expired on %s, the old one is still good", c.settings.CertFile, pair.Leaf.NotAfter.Format(time.DateOnly))
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificate) modified() (stamp [2]time.Time, err error) {
	for i, name := range []string{c.settings.CertFile, c.settings.KeyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}

// get implements tls.Config.GetCertificate. It runs in the goroutine of a handshake.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= recheck {
		c.look()
	}
	return c.current, nil
}

// reload looks at the files now. The error says why they cannot be used.
func (c *certificate) reload() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.refused
}

// look reads the files if they are not those of current. Files that cannot be used are read
// each time, since a mode that is repaired does not show in their times. Called with mu.
func (c *certificate) look() {
	c.checked = time.Now()
	stamp, err := c.modified()
	switch {
	case err == nil && stamp == c.stamp:
		c.refused = nil
		return
	case err == nil:
		err = c.load()
	}
	if err == nil {
		c.refused = nil
		c.log.Info("certificate read again", zap.String("file", c.settings.CertFile))
		return
	}
	if c.refused == nil || c.refused.Error() != err.Error() {
		c.log.Error("the new certificate cannot be used, the old one stays", zap.String("file", c.settings.CertFile), zap.Error(err))
	}
	c.refused = err
}
