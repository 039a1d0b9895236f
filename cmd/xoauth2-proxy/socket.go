package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"xoauth2-proxy/internal/adminclient"
	"xoauth2-proxy/internal/config"
)

const (
	// socketName is the admin socket in a directory that is not for it alone.
	socketName = "admin.sock"
	// runDir is what systemd makes for RuntimeDirectory=xoauth2-proxy. A command
	// that is run by hand has no $RUNTIME_DIRECTORY.
	runDir = "/run/xoauth2-proxy"
)

// socketPaths returns where a proxy with those settings makes its admin socket:
// the first place that can be used. needed says that the file names it.
func socketPaths(s *config.Settings) (paths []string, needed bool) {
	if s.Admin.Socket != "" {
		return []string{s.Admin.Socket}, true
	}
	var dirs []string
	if dir, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":"); dir != "" {
		dirs = append(dirs, dir)
	}
	if s.StateDir != "" {
		dirs = append(dirs, s.StateDir)
	}
	if s.AccountsFile != "" {
		dirs = append(dirs, filepath.Dir(s.AccountsFile))
	}
	for _, dir := range dirs {
		if abs, err := filepath.Abs(dir); err == nil {
			paths = append(paths, filepath.Join(abs, socketName))
		}
	}
	return paths, false
}

// socketFlag is for commands that ask the running proxy.
type socketFlag struct {
	Socket string `help:"Admin socket of the running proxy. Default: admin.socket of config.json, else where a proxy with these files makes it, else /run/xoauth2-proxy/admin.sock." env:"XOAUTH2_ADMIN_SOCKET" placeholder:"PATH"`
}

// findProxy returns the running proxy that has the accounts of s. The errors are
// those of adminclient.Find.
func (f socketFlag) findProxy(ctx context.Context, s *config.Settings) (*adminclient.Client, error) {
	paths, named := socketPaths(s)
	switch {
	case f.Socket != "":
		paths = []string{f.Socket}
	case !named:
		paths = append(paths, filepath.Join(runDir, socketName))
	}
	return adminclient.Find(ctx, paths, s.AccountsFile)
}

// mayBeAlone reports whether an error of findProxy says that no proxy runs for
// these accounts, so that a command may do by itself what one would have done.
func (f socketFlag) mayBeAlone(err error) bool {
	return f.Socket == "" && (errors.Is(err, adminclient.ErrNotRunning) || errors.Is(err, adminclient.ErrOther))
}
