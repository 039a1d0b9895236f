package main

import (
	"context"
	"errors"
	"path/filepath"

	"xoauth2-proxy/internal/adminclient"
	"xoauth2-proxy/internal/app"
	"xoauth2-proxy/internal/config"
)

// runDir is the directory that systemd makes for RuntimeDirectory=xoauth2-proxy. A
// command that is run by hand has no $RUNTIME_DIRECTORY.
const runDir = "/run/xoauth2-proxy"

// socketFlag is for commands that ask the running proxy.
type socketFlag struct {
	Socket string `help:"Admin socket of the running proxy. Default: admin.socket of config.json, else where a proxy with these files makes it, else /run/xoauth2-proxy/admin.sock." env:"XOAUTH2_ADMIN_SOCKET" placeholder:"PATH"`
}

// findProxy returns the running proxy that has the accounts of s. It returns the
// errors of adminclient.Find.
func (f socketFlag) findProxy(ctx context.Context, s *config.Settings) (*adminclient.Client, error) {
	paths, named := app.AdminSockets(s)
	switch {
	case f.Socket != "":
		paths = []string{f.Socket}
	case !named:
		paths = append(paths, filepath.Join(runDir, app.SocketName))
	}
	return adminclient.Find(ctx, paths, s.AccountsFile)
}

// mayBeAlone reports whether an error of findProxy says that no proxy runs for these
// accounts, so that a command may act without one.
func (f socketFlag) mayBeAlone(err error) bool {
	return f.Socket == "" && (errors.Is(err, adminclient.ErrNotRunning) || errors.Is(err, adminclient.ErrOther))
}
