package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tailscale/hujson"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/seal"
)

// Names of the files that are searched for.
const (
	configName = "config.json"
)

// Load reads both files and checks them. An empty path is searched for in the
// working directory, /etc/xoauth2, /usr/local/etc/xoauth2 and ~/.xoauth2; there
// need not be a config.json. A path that is given must exist. A program that calls
// Load again gives it the same cache each time; others give nil.
//
// The error joins a [*keyfile.Problem] for every mistake in config.json, or for every
// mistake in the accounts if none of them is right; then settings and snapshot are nil. An
// entry that is wrong beside right ones is left out: the snapshot tells. The report is
// never nil.
func Load(configPath, accountsPath string, cache *accountfile.Cache) (*Settings, *account.Snapshot, *keyfile.Report, error) {
	return loadBoth(configPath, accountsPath, cache, false)
}

// LoadLenient is Load for programs that need no secrets: a reference that cannot be resolved
// here, or a sealed value without its key, stands for itself. What can be resolved is
// checked.
func LoadLenient(configPath, accountsPath string) (*Settings, *account.Snapshot, error) {
	s, accounts, _, err := loadBoth(configPath, accountsPath, nil, true)
	return s, accounts, err
}

func loadBoth(configPath, accountsPath string, cache *accountfile.Cache, lenient bool) (*Settings, *account.Snapshot, *keyfile.Report, error) {
	var ps keyfile.Problems
	report := new(keyfile.Report)
	s := loadSettings(configPath, accountsPath, loading{lenient: lenient}, &ps, report)
	var snapshot *account.Snapshot
	if s.AccountsFile == "" {
		ps.Add(&keyfile.Problem{File: accountfile.Name, Message: "is in none of " + strings.Join(searchDirs(), ", ") + "; name the file with --accounts"})
	} else {
		snapshot = accountfile.Load(s.Accounts(), cache, &ps, report)
	}
	noteProviders(s, report)
	if s.StateDir == "" {
		report.Notef("no state_dir: what accounts have sent today is forgotten at a restart, and without a token store what an operator has paused too")
	}
	if s.OAuth.TokenStore == "" {
		report.Notef("warning: no oauth.token_store: a refresh token that its provider replaces is in memory only, and lost at a restart")
	}
	if snapshot != nil && snapshot.Len() == 0 { // no account is right
		for _, e := range snapshot.LeftOut() {
			ps.AddJoined(e.Err)
		}
	}
	noteProxy(s, report)
	if err := ps.Err(); err != nil {
		return nil, nil, report, err
	}
	for _, line := range familyNotes(s) {
		report.Notef("%s", line)
	}
	return s, snapshot, report, nil
}

// noteProxy says that a proxy in the environment is not used.
func noteProxy(s *Settings, report *keyfile.Report) {
	if !s.OAuth.Proxy.IsZero() {
		return
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		if os.Getenv(name) != "" {
			report.Notef(`warning: %s is set in the environment and is not used: set oauth.proxy if token requests are to go through a proxy, or set it to "none"`, name)
			return
		}
	}
}

// LoadSettings is Load without the accounts, which may be wrong or missing: for
// programs that are about to repair them. AccountsFile names the file even if
// it does not exist yet; it is empty if no path is given and no file is found.
func LoadSettings(configPath, accountsPath string) (*Settings, error) {
	return loadOnlySettings(configPath, accountsPath, loading{})
}

// LoadSettingsWith is LoadSettings with keys, which may be nil, in the place of the key file
// that secrets.key names if that does not exist yet.
func LoadSettingsWith(keys *seal.Keyring, configPath, accountsPath string) (*Settings, error) {
	return loadOnlySettings(configPath, accountsPath, loading{keys: keys})
}

// LoadSettingsLenient is LoadSettings as LoadLenient is Load. The settings are not for
// writing secrets: the key that seals them may be missing.
func LoadSettingsLenient(configPath, accountsPath string) (*Settings, error) {
	return loadOnlySettings(configPath, accountsPath, loading{lenient: true})
}

// loading is how a configuration is read.
type loading struct {
	lenient bool          // see LoadLenient
	keys    *seal.Keyring // see LoadSettingsWith
}

func loadOnlySettings(configPath, accountsPath string, how loading) (*Settings, error) {
	var ps keyfile.Problems
	s := loadSettings(configPath, accountsPath, how, &ps, new(keyfile.Report))
	if err := ps.Err(); err != nil {
		return nil, err
	}
	return s, nil
}

// loadSettings reads the configuration and finds the file of accounts.
func loadSettings(configPath, accountsPath string, how loading, ps *keyfile.Problems, report *keyfile.Report) *Settings {
	if configPath == "" {
		configPath = search(configName)
	}
	f := openConfig(configPath, ps, report)
	if f != nil && isAccounts(f) {
		// Unit files of the predecessor give accounts here: it ignored them.
		report.Notef("%s: holds accounts and no configuration; everything has its default", configPath)
		if accountsPath == "" {
			accountsPath = configPath
		}
		configPath, f = "", nil
	}
	if f != nil {
		f.Lenient = how.lenient
	}
	s := readConfig(f, how.keys)
	s.lenient = how.lenient
	s.ConfigFile, s.AccountsFile = configPath, accountsPath
	if s.AccountsFile == "" {
		s.AccountsFile = search(accountfile.Name)
	}
	if f != nil {
		report.Take(f.Report)
	}
	return s
}

// openConfig reads the configuration at path; nil when there is none or when it
// cannot be read.
func openConfig(path string, ps *keyfile.Problems, report *keyfile.Report) *keyfile.File {
	if path == "" {
		report.Notef("no %s in %s; everything has its default", configName, strings.Join(searchDirs(), ", "))
		return nil
	}
	report.Notef("%s: read", path)
	return keyfile.Open(path, ps, new(keyfile.Report))
}

// isAccounts reports whether f is a file of accounts.
func isAccounts(f *keyfile.File) bool {
	switch root := f.Root.Value.(type) {
	case *hujson.Array:
		return true
	case *hujson.Object:
		for i := range root.Members {
			if keyfile.MemberName(root, i) == "accounts" {
				return root.Members[i].Value.Value.Kind() == '['
			}
		}
	}
	return false
}

// noteProviders says what limits the accounts of each provider have, and what is used with
// it.
func noteProviders(s *Settings, report *keyfile.Report) {
	for _, name := range []string{"gmail", "outlook"} {
		l := s.Providers[name].Limits
		report.Notef("%s: for each account %d connections, %d messages per connection, connections closed after %v or %v idle",
			name, l.MaxConnections, l.MaxMessagesPerConnection, l.ConnectionMaxAge, l.IdleTimeout)
	}
	clouds := account.Clouds()
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		p := s.Providers[name]
		isCloud := slices.ContainsFunc(clouds, func(c account.Provider) bool { return c.Name == name })
		if p.Avoid == 0 && (isCloud || name == "default") { // nothing is configured for it, or no account need be of it
			continue
		}
		line := fmt.Sprintf("%s: used where its EHLO reply announces it: %v", name, account.AllKeywords&^p.Avoid)
		if p.Avoid != 0 {
			line += fmt.Sprintf("; avoided: %v", p.Avoid)
		}
		report.Notef("%s", line)
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
