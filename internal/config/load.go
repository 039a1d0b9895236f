package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
)

// Names of the files that are searched for.
const (
	configName   = "config.json"
	accountsName = "accounts.json"
)

// Load reads both files and checks them. An empty path is searched for in the
// working directory, /etc/xoauth2, /usr/local/etc/xoauth2 and ~/.xoauth2; there
// need not be a config.json. A path that is given must exist. A program that calls
// Load again gives it the same m each time; others give nil.
//
// The error joins a [*Problem] for every mistake in both files; then settings
// and snapshot are nil. The report is never nil.
func Load(configPath, accountsPath string, m *Memory) (*Settings, *account.Snapshot, *Report, error) {
	var ps problems
	report := new(Report)
	s := loadSettings(configPath, accountsPath, &ps, report)
	var snapshot *account.Snapshot
	if s.AccountsFile == "" {
		ps.add(&Problem{File: accountsName, Message: "is in none of " + strings.Join(searchDirs(), ", ") + "; name the file with --accounts"})
	} else {
		snapshot = loadAccounts(s.Accounts(), m, &ps, report)
	}
	noteProviders(s, report)
	if s.StateDir == "" {
		report.notef("no state_dir: what accounts have sent today is forgotten at a restart, and without a token store what an operator has paused too")
	}
	if s.OAuth.TokenStore == "" {
		report.notef("warning: no oauth.token_store: a refresh token that its provider replaces is in memory only, and lost at a restart")
	}
	if err := ps.err(); err != nil {
		return nil, nil, report, err
	}
	return s, snapshot, report, nil
}

// LoadSettings is Load without the accounts, which may be wrong or missing: for
// programs that are about to repair them. AccountsFile names the file even if
// it does not exist yet, unless there is no telling where it should be.
func LoadSettings(configPath, accountsPath string) (*Settings, error) {
	var ps problems
	s := loadSettings(configPath, accountsPath, &ps, new(Report))
	if err := ps.err(); err != nil {
		return nil, err
	}
	return s, nil
}

// loadSettings reads the configuration and finds the file of accounts.
func loadSettings(configPath, accountsPath string, ps *problems, report *Report) *Settings {
	if configPath == "" {
		configPath = search(configName)
	}
	f := openConfig(configPath, ps, report)
	if f != nil && isAccounts(f) {
		// Unit files of the original do so, where it went unnoticed.
		report.notef("%s: holds accounts and no configuration; everything has its default", configPath)
		if accountsPath == "" {
			accountsPath = configPath
		}
		configPath, f = "", nil
	}
	s := readConfig(f)
	s.ConfigFile, s.AccountsFile = configPath, accountsPath
	if s.AccountsFile == "" {
		s.AccountsFile = search(accountsName)
	}
	if f != nil {
		report.take(f.report)
	}
	return s
}

// openConfig reads the configuration at path; nil when there is none or when it
// cannot be read.
func openConfig(path string, ps *problems, report *Report) *file {
	if path == "" {
		report.notef("no %s in %s; everything has its default", configName, strings.Join(searchDirs(), ", "))
		return nil
	}
	report.notef("%s: read", path)
	return openFile(path, ps, new(Report))
}

// isAccounts reports whether f is a file of accounts.
func isAccounts(f *file) bool {
	switch root := f.root.Value.(type) {
	case *hujson.Array:
		return true
	case *hujson.Object:
		for i := range root.Members {
			if memberName(root, i) == "accounts" {
				return root.Members[i].Value.Value.Kind() == '['
			}
		}
	}
	return false
}

// noteProviders says what limits the accounts of each provider have.
func noteProviders(s *Settings, report *Report) {
	for _, name := range []string{"gmail", "outlook"} {
		l := s.Providers[name].Limits
		report.notef("%s: for each account %d connections, %d messages per connection, connections closed after %v or %v idle",
			name, l.MaxConnections, l.MaxMessagesPerConnection, l.ConnectionMaxAge, l.IdleTimeout)
	}
}

// searchDirs are the directories of files that are not named.
func searchDirs() []string {
	dirs := []string{".", "/etc/xoauth2", "/usr/local/etc/xoauth2"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".xoauth2"))
	}
	return dirs
}

// search returns the first file of that name, or "". One that exists and cannot
// be read is found too, so that it does not go unnoticed.
func search(name string) string {
	for _, dir := range searchDirs() {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return ""
}
