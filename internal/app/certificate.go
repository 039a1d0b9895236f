package app

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/config"
)

// recheck is the shortest time between two looks at the files of the certificate.
const recheck = 5 * time.Second

// certificate is the certificate for clients. It reads its files again after they
// have changed, so that a renewal needs no restart. If the new files are unusable,
// the old certificate stays in use.
type certificate struct {
	certFile, keyFile string
	log               *zap.Logger

	mu      sync.Mutex // guards the three below
	current *tls.Certificate
	stamp   [2]time.Time // modification times of the files
	checked time.Time
}

// clientTLS returns the TLS configuration for clients, nil without a certificate.
func clientTLS(s config.Server, log *zap.Logger) (*tls.Config, error) {
	if s.CertFile == "" {
		return nil, nil
	}
	c, err := loadCertificate(s, log)
	if err != nil {
		return nil, fmt.Errorf("server.cert_file: %w", err)
	}
	return c.config(), nil
}

// loadCertificate reads the files for the first time.
func loadCertificate(s config.Server, log *zap.Logger) (*certificate, error) {
	c := &certificate{certFile: s.CertFile, keyFile: s.KeyFile, log: log, checked: time.Now()}
	return c, c.load()
}

func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}
}

// load reads the files. The caller holds mu, or is the only user of c.
func (c *certificate) load() error {
	stamp, err := c.modified()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificate) modified() (stamp [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
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
	if now := time.Now(); now.Sub(c.checked) >= recheck {
		c.checked = now
		if stamp, err := c.modified(); err != nil || stamp != c.stamp {
			if err == nil {
				err = c.load()
			}
			if err != nil {
				c.log.Error("the new certificate cannot be used, the old one stays", zap.Error(err))
			} else {
				c.log.Info("certificate read again", zap.String("file", c.certFile))
			}
		}
	}
	return c.current, nil
}
