// Package layout has the tests of the module's structure: which package may import which,
// sizes, and the direction of dependencies.
package layout

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "xoauth2-proxy/"

// allowed lists, for each of our packages, what it may import of ours. Edges
// point down only; "*" is for programs that nothing imports.
var allowed = map[string][]string{
	"codec":                                  {},
	"internal/account":                       {},
	"internal/admin":                         {"internal/account", "internal/durable", "internal/listenaddr"},
	"internal/adminclient":                   {},
	"internal/control":                       {"internal/durable", "internal/watchdog"},
	"internal/durable":                       {},
	"internal/matrix":                        {"*"},
	"internal/layout":                        {},
	"internal/password":                      {},
	"internal/quota":                         {"internal/durable", "internal/boltfile"},
	"internal/seal":                          {},
	"internal/testkit":                       {},
	"internal/testkit/backend":               {"internal/account", "internal/sandbox", "internal/testkit", "internal/testkit/provider", "oauth", "upstream"},
	"internal/testkit/provider":              {"internal/account", "internal/sandbox", "internal/testkit"},
	"internal/testmount":                     {},
	"internal/loop":                          {"internal/listenaddr"},
	"internal/watchdog":                      {},
	"internal/tokenstore":                    {"oauth", "internal/seal", "internal/account", "internal/durable", "internal/boltfile"},
	"internal/sandbox":                       {},
	"internal/sandbox/internal/wait":         {},
	"internal/sandbox/internal/store":        {"internal/sandbox/internal/wait"},
	"internal/sandbox/internal/fault":        {"internal/sandbox/internal/wait"},
	"internal/sandbox/internal/mailbox":      {"internal/sandbox/internal/wait"},
	"internal/sandbox/internal/tokend":       {"internal/sandbox/internal/fault", "internal/sandbox/internal/mailbox", "internal/sandbox/internal/wait"},
	"internal/sandbox/internal/smtpd":        {"internal/sandbox/internal/fault", "internal/sandbox/internal/mailbox", "internal/sandbox/internal/store", "internal/sandbox/internal/wait"},
	"oauth":                                  {"internal/account", "internal/watchdog"},
	"upstream":                               {"codec", "oauth", "internal/account", "internal/loop", "internal/watchdog"},
	"server":                                 {"codec", "upstream", "internal/account", "internal/password", "internal/loop", "internal/watchdog"},
	"internal/keyfile/keytest":               {"internal/keyfile"},
	"internal/keyfile":                       {"internal/seal"},
	"internal/accountkeys":                   {"internal/account", "internal/keyfile", "internal/password"},
	"internal/accountfile":                   {"internal/account", "internal/accountkeys", "internal/durable", "internal/keyfile", "internal/seal", "internal/accountfile/internal/jsonedit", "internal/accountfile/internal/sheet"},
	"internal/accountfile/internal/jsonedit": {"internal/keyfile"},
	"internal/accountfile/internal/sheet":    {},
	"internal/boltfile":                      {},
	"internal/config":                        {"server", "upstream", "oauth", "internal/account", "internal/accountfile", "internal/accountkeys", "internal/admin", "internal/keyfile", "internal/password", "internal/seal"},
	"internal/verify":                        {"upstream", "oauth", "internal/account", "internal/config", "internal/keyfile", "internal/accountfile", "internal/seal"},
	"internal/app/apptest":                   {"internal/accountfile", "internal/config", "internal/sandbox", "internal/testkit", "internal/testkit/provider"},
	"internal/checkup":                       {"internal/account", "internal/config", "internal/keyfile"},
	"internal/app":                           {"server", "upstream", "oauth", "internal/account", "internal/accountfile", "internal/admin", "internal/config", "internal/control", "internal/durable", "internal/checkup", "internal/keyfile", "internal/loop", "internal/quota", "internal/tokenstore", "internal/verify", "internal/watchdog", "internal/logging"},
	"cmd/xoauth2-proxy":                      {"oauth", "oauth/consent", "internal/account", "internal/accountfile", "internal/admin", "internal/adminclient", "internal/app", "internal/checkup", "internal/config", "internal/durable", "internal/keyfile", "internal/password", "internal/sandbox", "internal/seal", "internal/tokenstore", "internal/verify", "internal/logging"},
	"internal/logging":                       {},
	"loadgen":                                {"*"},
	"perf":                                   {"*"},
	"e2e":                                    {"*"},
	"internal/listenaddr":                    {},

	// Rooms of oauth. All but consent may be imported by oauth and its rooms alone.
	"oauth/consent":            {"oauth", "oauth/internal/flow", "oauth/internal/httpc", "internal/account"},
	"oauth/internal/flow":      {"oauth/internal/httpc", "internal/account"},
	"oauth/internal/httpc":     {"internal/account"},
	"oauth/internal/pending":   {},
	"oauth/internal/tokentest": {"internal/account", "internal/sandbox", "internal/testkit", "internal/testkit/provider"},

	// Rooms of server, which alone may import them.
	"server/internal/counters":    {"codec"},
	"server/internal/descriptors": {},
	"server/internal/ehlo":        {"codec", "internal/account"},
	"server/internal/journal":     {"codec"},
	"server/internal/pace":        {},
	"server/internal/sources":     {},
	"server/internal/shares":      {"codec", "internal/account"},

	// Rooms of upstream, which alone may import them.
	"upstream/internal/carry":      {"codec", "internal/account", "internal/loop", "upstream/internal/failure", "upstream/internal/limit", "upstream/internal/smtpclient", "upstream/internal/throttle"},
	"upstream/internal/dial":       {"internal/account"},
	"upstream/internal/failure":    {"codec", "oauth", "upstream/internal/limit", "upstream/internal/smtpclient", "upstream/internal/throttle"},
	"upstream/internal/limit":      {"internal/account"},
	"upstream/internal/login":      {"codec", "oauth", "internal/account", "upstream/internal/dial", "upstream/internal/failure", "upstream/internal/smtpclient", "upstream/internal/throttle"},
	"upstream/internal/smtpclient": {"codec", "internal/account", "internal/loop", "upstream/internal/throttle"},
	"upstream/internal/throttle":   {"codec", "internal/account"},
}

// onlyHome lists packages of others that exactly one of ours may import.
var onlyHome = map[string][]string{
	"github.com/panjf2000/gnet/v2":                {"internal/loop"},
	"github.com/coreos/go-systemd/v22/activation": {"internal/loop"},
	"github.com/valyala/bytebufferpool":           {"codec"},
	"golang.org/x/oauth2":                         {"oauth/consent", "oauth/internal/flow"},
	"github.com/tailscale/hujson":                 {"internal/keyfile", "internal/accountfile", "internal/config"},
	"github.com/alecthomas/kong":                  {"cmd/xoauth2-proxy", "loadgen", "perf"},
	"github.com/valyala/fasthttp":                 {"oauth/internal/httpc", "internal/admin", "internal/sandbox", "perf"},
	"github.com/VictoriaMetrics/metrics":          {"server", "upstream", "oauth", "internal/admin", "internal/watchdog", "internal/app", "internal/logging", "internal/testkit", "perf"},
	"go.etcd.io/bbolt":                            {"internal/boltfile", "internal/quota", "internal/tokenstore"},
}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) < 8 {
		t.Fatalf("go list names only %d packages", len(lines))
	}
	for _, line := range lines {
		path, imports, _ := strings.Cut(line, " ")
		pkg := strings.TrimPrefix(path, module)
		may, ok := rulesOf(pkg)
		if !ok {
			t.Errorf("%s is not in the table: which packages may it import?", pkg)
			continue
		}
		for imp := range strings.FieldsSeq(imports) {
			if ours, found := strings.CutPrefix(imp, module); found {
				if !slices.Contains(may, "*") && !slices.Contains(may, ours) && !within(ours, pkg) {
					t.Errorf("%s imports %s, which the table does not allow", pkg, ours)
				}
			} else if homes, ok := onlyHome[imp]; ok && !slices.ContainsFunc(homes, func(h string) bool { return within(pkg, h) }) {
				t.Errorf("%s imports %s, which belongs in %v only", pkg, imp, homes)
			}
		}
	}
}

// rulesOf finds the rule of pkg or of the nearest folder above it.
func rulesOf(pkg string) ([]string, bool) {
	for p := pkg; ; {
		if may, ok := allowed[p]; ok {
			return may, true
		}
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return nil, false
		}
		p = p[:i]
	}
}

// within reports whether pkg is folder or below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }
