package app

import (
	"os"
	"path/filepath"
	"strings"

	"xoauth2-proxy/internal/config"
)

// SocketName is the admin socket in a directory that has other files too.
const SocketName = "admin.sock"

// AdminSockets returns the paths where a proxy with those settings tries to make
// its admin socket; it uses the first that works. needed says that the settings
// name the path.
func AdminSockets(s *config.Settings) (paths []string, needed bool) {
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
			paths = append(paths, filepath.Join(abs, SocketName))
		}
	}
	return paths, false
}
