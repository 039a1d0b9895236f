package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"xoauth2-proxy/internal/sandbox"
)

// sandboxCmd runs the sandbox alone, for tests and as a load sink.
type sandboxCmd struct {
	Dir      string            `help:"Write accounts.json, config.json and ca.pem for a proxy here." default:"run" placeholder:"DIR"`
	Config   string            `help:"Configuration of the sandbox in JSON; the flags below win." placeholder:"FILE"`
	Accounts int               `help:"Number of sample accounts, Gmail and Outlook in turn." default:"2" placeholder:"N"`
	HTTP     string            `name:"http" help:"Address of the token endpoint and of the API (/messages, /stats, /faults)." placeholder:"ADDR:PORT"`
	Limits   string            `help:"Enforce the providers' limits: on or off." placeholder:"on|off"`
	Store    string            `help:"What becomes of messages: keep (in memory), dir (also as files in DIR/mail) or count (for load)." placeholder:"MODE"`
	Latency  *sandbox.Duration `help:"Delay of the reply to the end of data, such as 50ms." placeholder:"TIME"`
}

// config returns the configuration file with the flags applied.
func (c *sandboxCmd) config() (cfg sandbox.Config, err error) {
	if c.Config != "" {
		f, err := os.Open(c.Config)
		if err != nil {
			return cfg, err
		}
		defer f.Close()
		if cfg, err = sandbox.DecodeConfig(f); err != nil {
			return cfg, err
		}
	}
	if cfg.Accounts == nil {
		cfg.Accounts = sandbox.SampleAccounts(c.Accounts)
	}
	if c.HTTP != "" {
		cfg.HTTP = c.HTTP
	}
	if c.Limits != "" {
		cfg.Limits = c.Limits
	}
	if c.Store != "" {
		cfg.Store.Mode = c.Store
	}
	if cfg.Store.Mode == sandbox.ModeDir && cfg.Store.Dir == "" {
		cfg.Store.Dir = filepath.Join(c.Dir, "mail")
	}
	if c.Latency != nil {
		cfg.Latency.Final = *c.Latency
	}
	return cfg, nil
}

// startSandbox starts a sandbox and writes the files for its proxy to dir. It
// replaces no file that a sandbox did not write.
func startSandbox(cfg sandbox.Config, dir string) (*sandbox.Server, sandbox.ProxyFiles, error) {
	var files sandbox.ProxyFiles
	if err := sandbox.CheckProxyFiles(dir); err != nil {
		return nil, files, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, files, err
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		return nil, files, err
	}
	if files, err = s.WriteProxyFiles(dir); err != nil {
		_ = s.Close()
		return nil, files, err
	}
	return s, files, nil
}

// Run implements the command.
func (c *sandboxCmd) Run() error {
	cfg, err := c.config()
	if err != nil {
		return exitError{exitConfig, err}
	}
	s, files, err := startSandbox(cfg, c.Dir)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Printf("token endpoint and API: http://%s\n", s.HTTPAddr())
	fmt.Printf("for the proxy: --config %s --accounts %s\n", files.Config, files.Accounts)
	fmt.Println("ready")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	<-signals
	return nil
}
