package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"xoauth2-proxy/internal/backup"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/seal"
)

// backupCmd copies the files of a proxy, which may run, into one.
type backupCmd struct {
	files
	Archive   string `arg:"" help:"The archive, a tar file in gzip, which only its owner may read."`
	WithKey   bool   `help:"Put the key that seals secrets in too: who has the archive then has every secret in it."`
	Overwrite bool   `help:"Replace the archive if it is there."`
}

// Run implements the command.
func (c *backupCmd) Run() error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	a, err := backup.Collect(s, c.WithKey)
	if err == nil {
		err = a.Write(c.Archive, c.Overwrite)
	}
	if err != nil {
		return fmt.Errorf("cannot make a backup: %w", err)
	}
	a.Describe(os.Stdout, s)
	if c.WithKey || !s.Secrets.Key.CanSeal() {
		fmt.Println("The archive is as good as all secrets in clear text.")
	}
	fmt.Printf("%s is whole. A refresh token that its provider replaces from now on is dead in it.\n", c.Archive)
	return nil
}

// restoreCmd writes the files of an archive to where config.json has them.
type restoreCmd struct {
	files
	Archive   string `arg:"" help:"The archive that backup made."`
	WithKey   bool   `help:"Write the key in it too, to the file that secrets.key of config.json names."`
	Overwrite bool   `help:"Replace files that have another content. A key file is never replaced."`
}

// Run implements the command.
func (c *restoreCmd) Run() error {
	a, err := backup.Read(c.Archive)
	if err != nil {
		return err
	}
	var keys *seal.Keyring
	if c.WithKey {
		keys = a.Keys()
	}
	s, err := c.settingsWith(keys)
	if err == nil {
		err = stopped(s)
	}
	if err == nil {
		err = a.Restore(os.Stdout, s, backup.Options{WithKey: c.WithKey, Overwrite: c.Overwrite})
	}
	if err != nil {
		return fmt.Errorf("cannot restore: %w", err)
	}
	fmt.Printf("This is the state of %s. A refresh token that its provider has replaced since then is dead:\n"+
		"accounts verify names the accounts that must be authorized again. No other proxy may use these accounts.\n", a.Made.Format(time.RFC1123))
	return nil
}

// stopped returns an error if a proxy runs with the accounts of s.
func stopped(s *config.Settings) error {
	running, err := socketFlag{}.findProxy(context.Background(), s)
	switch {
	case err == nil:
		running.Close()
		return fmt.Errorf("the proxy with these accounts (pid %d) runs: stop it first", running.Proxy.PID)
	case socketFlag{}.mayBeAlone(err):
		return nil
	}
	return err
}

// moveCmd moves the files of a proxy to where another config.json has them.
type moveCmd struct {
	files
	ToConfig   string `required:"" help:"The configuration file that the proxy is to have then. It is not moved." placeholder:"FILE"`
	ToAccounts string `required:"" help:"The accounts file that the proxy is to have then; it may be the one of now." placeholder:"FILE"`
}

// Run implements the command.
func (c *moveCmd) Run() error {
	to := files{c.ToConfig, c.ToAccounts}
	var moved *seal.Keyring
	if s, err := to.settings(); err == nil { // then a run that was cut off may have moved the key
		moved = s.Secrets.Key
	}
	from, err := c.settingsWith(moved)
	if err != nil {
		return err
	}
	next, err := to.settingsWith(from.Secrets.Key)
	for _, s := range []*config.Settings{from, next} {
		if err == nil {
			err = stopped(s)
		}
	}
	if err == nil {
		err = backup.Move(os.Stdout, from, next)
	}
	if err != nil {
		return fmt.Errorf("cannot move: %w", err)
	}
	fmt.Printf("Start the proxy with --config %s --accounts %s.\n", c.ToConfig, c.ToAccounts)
	return nil
}
