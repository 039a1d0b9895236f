package app

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/watchdog"
)

// TestEffectiveSettings compares all that the parts of the proxy are told with the
// golden lists, for an empty config.json, the complete sample, and other values
// throughout.
func TestEffectiveSettings(t *testing.T) {
	t.Setenv("RUNTIME_DIRECTORY", "")
	t.Setenv("LOGS_DIRECTORY", "/var/log/proxy")
	t.Setenv("SHARE_KEY", "sealkey:v1:"+strings.Repeat("A", 43))
	for _, name := range []string{"empty", "complete", "changed"} {
		t.Run(name, func(t *testing.T) {
			dir := "../../configs"
			configFile, accountsFile := filepath.Join(dir, "config.complete.json"), filepath.Join(dir, "accounts.complete.json")
			if name != "complete" {
				dir = t.TempDir()
				configFile, accountsFile = filepath.Join(dir, "config.json"), filepath.Join(dir, "accounts.json")
				apptest.WriteFile(t, configFile, "{}")
				apptest.WriteFile(t, accountsFile, "[]")
			}
			if name == "changed" {
				configFile = "testdata/effective_changed.json"
			}
			s, _, _, err := config.Load(configFile, accountsFile, nil)
			if err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs(dir)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.NewReplacer(abs, "DIR", dir, "DIR").Replace(effective(s))
			checkGolden(t, "effective_"+name, strings.Split(strings.TrimSuffix(text, "\n"), "\n"))
		})
	}
}

// effective lists every setting that a part is told, a line each.
func effective(s *config.Settings) string {
	var b strings.Builder
	list := func(name string, v any) { listSettings(&b, name, reflect.ValueOf(v)) }
	clients := s.Server.Config
	if clients.Checks.Workers == max(1, runtime.NumCPU()/2) {
		clients.Checks.Workers = 0
	}
	list("server", clients)
	list("server cert_file", s.Server.CertFile)
	list("server key_file", s.Server.KeyFile)
	list("server evict_over", s.Server.EvictOver)
	list("server drain_timeout", s.Server.DrainTimeout)
	list("upstream", s.Upstream.Config)
	list("oauth", s.OAuth.Config)
	list("token store", s.OAuth.TokenStore)
	list("admin", adminConfig(&Options{Settings: s}))
	list("admin token", s.Admin.Token)
	list("watchdog", watchdog.DefaultConfig())
	list("log", s.Log)
	list("runtime", s.Runtime)
	list("state_dir", s.StateDir)
	list("accounting", s.Accounting)
	list("share", s.Share)
	list("accounting directory", s.AccountingDir())
	list("orders", ordersFile(s))
	accounts := s.Accounts()
	accounts.Signing = nil // no setting
	list("accounts", *accounts)
	return strings.Replace(b.String(), "accounts.Signing: <nil>\n", "", 1)
}

// listSettings lists the fields of v, which is called name.
func listSettings(b *strings.Builder, name string, v reflect.Value) {
	switch x := v.Interface().(type) {
	case account.Secret:
		fmt.Fprintf(b, "%s: set %v\n", name, !x.IsZero())
		return
	case fmt.Stringer:
		if v.Kind() != reflect.Pointer || !v.IsNil() {
			fmt.Fprintf(b, "%s: %v\n", name, x)
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			listSettings(b, name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map:
		for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
			listSettings(b, name+"["+k.String()+"]", v.MapIndex(k))
		}
	case reflect.Slice:
		for i := range v.Len() {
			listSettings(b, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
		if v.Len() == 0 {
			fmt.Fprintf(b, "%s: none\n", name)
		}
	case reflect.Pointer:
		if v.IsNil() {
			fmt.Fprintf(b, "%s: nil\n", name)
			return
		}
		listSettings(b, name, v.Elem())
	default:
		fmt.Fprintf(b, "%s: %v\n", name, v)
	}
}
