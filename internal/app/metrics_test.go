package app

import (
	"fmt"
	"go/ast"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/accountfile"
	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/metric"
	"xoauth2-proxy/internal/pages"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/share"
	"xoauth2-proxy/internal/testkit"
)

// family is a family of metrics on a page, with the lines of its series.
type family struct {
	help, kind string
	ofAccounts bool               // it is on the page of the accounts
	series     map[string]float64 // by the rest of the line: suffix and labels
}

var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$`)
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\]|\\["\\n])*",? ?)+\})? (\S+)$`)
)

// parsePage reads a page as Prometheus does: HELP, TYPE and then the samples of a family
// stand together, and each family and each series is there once.
func parsePage(t *testing.T, page string) map[string]*family {
	t.Helper()
	families := make(map[string]*family)
	var now string
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if families[m[1]] != nil {
				t.Errorf("%s is there twice", m[1])
			}
			now = m[1]
			families[now] = &family{help: m[2], series: make(map[string]float64)}
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != now || families[now].kind != "" {
				t.Errorf("%q does not follow its HELP", line)
				continue
			}
			families[now].kind = m[2]
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("%q is no line of the format", line)
			continue
		}
		suffix, ok := strings.CutPrefix(m[1], now)
		f := families[now]
		if !ok || f.kind == "" || !slices.Contains(suffixes[f.kind], suffix) {
			t.Errorf("%q stands under %s", line, now)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if _, twice := f.series[suffix+m[2]]; err != nil || twice {
			t.Errorf("%q: %v, there before: %t", line, err, twice)
		}
		f.series[suffix+m[2]] = v
	}
	return families
}

// suffixes are what follows the name of a family in its series.
var suffixes = map[string][]string{
	"counter": {""}, "gauge": {""}, "histogram": {"_bucket", "_sum", "_count"}, "summary": {"", "_sum", "_count"},
}

// fullStack is a proxy that shows all families: it has a certificate for clients and an
// account with one of its own, which end at ends, and messages were refused: one for its
// recipient, one for the quota of bob. There is a tenant.
func fullStack(t *testing.T) (s *stack, ends time.Time) {
	t.Helper()
	provider, f := apptest.NewSandbox(t, "alice@gmail.com", "bob@outlook.com")
	pair := testkit.Certificate("localhost")
	cert, key := testkit.PEM(pair)
	certFile, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	apptest.WriteFile(t, certFile, string(cert))
	apptest.WriteFile(t, keyFile, string(key))
	apptest.WriteFile(t, f.Config, strings.Replace(apptest.ReadAll(t, f.Config), "{",
		fmt.Sprintf(`{"server": {"cert_file": %q, "key_file": %q}, "admin": {"account_metrics": true}, "tenants": {"outlook.com": {"licences": 1}},`, certFile, keyFile), 1))
	s = startStack(t, provider, f)
	s.Edit(func(l *accountfile.List) error {
		e := new(accountfile.Entry)
		e.Set("email", "bob@outlook.com")
		e.Set("client_certificate", string(cert))
		e.Set("client_private_key", string(key))
		l.Put(e)
		return nil
	})
	if _, err := s.live.reload("test", false); err != nil {
		t.Fatal(err)
	}
	if err := provider.SetFaults(sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no such user"}); err != nil {
		t.Fatal(err)
	}
	if err := apptest.Deliver(s.ClientAddrs()[0].String(), "alice@gmail.com", "x", "refused"); err == nil {
		t.Fatal("the message was not refused")
	}
	if err := provider.SetFaults(sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients"}); err != nil {
		t.Fatal(err)
	}
	if err := apptest.Deliver(s.ClientAddrs()[0].String(), "bob@outlook.com", "x", "over quota"); err == nil {
		t.Fatal("the message was not refused")
	}
	return s, pair.Leaf.NotAfter
}

// TestMetricsPage reads both pages: each family has a TYPE, a HELP text of one sentence
// that tells the unit, what its labels mean and what to do, and stands in docs/metrics.md,
// which -update writes.
func TestMetricsPage(t *testing.T) {
	s, ends := fullStack(t)
	families := parsePage(t, s.Want(http.StatusOK, nil, http.MethodGet, "/metrics", ""))
	for name, f := range families {
		if f.kind == "" || len(f.series) == 0 {
			t.Errorf("%s: type %q, %d series", name, f.kind, len(f.series))
		}
		if !strings.HasSuffix(f.help, ".") || len(f.help) < 10 {
			t.Errorf("%s: HELP %q is no sentence", name, f.help)
		}
		for suffix, unit := range map[string]string{"_seconds": "second", "_bytes": "byte"} {
			if strings.Contains(name+"_", suffix+"_") && !strings.Contains(strings.ToLower(f.help), unit) {
				t.Errorf("%s: HELP %q does not tell the unit", name, f.help)
			}
		}
	}
	for name, want := range map[string]float64{
		`provider_refusals_total{provider="gmail",phase="RCPT",reply="5yz"}`:          1,
		`provider_messages_total{provider="gmail",result="refused"}`:                  1,
		`refusals_total{hint="recipient-refused"}`:                                    1,
		`provider_logins_total{provider="gmail",result="success"}`:                    1,
		`provider_token_refreshes_total{provider="gmail",result="success"}`:           1,
		`provider_accounts{provider="gmail",state="active"}`:                          1,
		`provider_throttle_events_total{provider="outlook",action="quota"}`:           1,
		`provider_queue_depth{provider="gmail"}`:                                      0,
		`xoauth2_proxy_ready`:                                                         1,
		`provider_accounts{provider="outlook",state="quota"}`:                         1,
		`upstream_tenant_recipients{tenant="outlook.com"}`:                            0,
		`upstream_tenant_recipients_limit{tenant="outlook.com"}`:                      10000,
		`tls_certificate_not_after_timestamp_seconds`:                                 float64(ends.Unix()),
		`provider_client_certificate_not_after_timestamp_seconds{provider="outlook"}`: float64(ends.Unix()),
	} {
		base, _, _ := strings.Cut(name, "{")
		if f := families[base]; f == nil || f.series[strings.TrimPrefix(name, base)] != want {
			t.Errorf("%s is not %v: %+v", name, want, f)
		}
	}
	open := families["provider_connections"].series
	if n := open[`{provider="gmail",state="parked"}`] + open[`{provider="gmail",state="active"}`]; n != 1 {
		t.Errorf("%v connections are open: %v", n, open)
	}
	for name, f := range parsePage(t, s.Want(http.StatusOK, nil, http.MethodGet, "/metrics/accounts", "")) {
		if families[name] != nil {
			t.Errorf("%s is on both pages", name)
		}
		f.ofAccounts = true
		families[name] = f
	}
	var shared strings.Builder // a proxy alone does not serve these
	set := metrics.NewSet()
	share.NewMember(share.Config{Node: "a"}, nil, zap.NewNop(), set)
	metric.Write(&shared, set)
	for name, f := range parsePage(t, shared.String()) {
		if families[name] == nil {
			families[name] = f
		}
	}
	checkMetricsDoc(t, families)
}

// TestMetricDeclarations finds families in the source: each is declared at one place, and
// metrics are made of declarations only.
func TestMetricDeclarations(t *testing.T) {
	declared := make(map[string]int)
	inspectSource(t, []string{"metric"}, func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return
		}
		fun, ok := call.Fun.(*ast.SelectorExpr)
		switch {
		case !ok:
		case fun.Sel.Name == "New" && pages.Name(fun.X) == "metric":
			if family := pages.Written(call.Args[1]); family != "..." {
				declared[family]++
			}
		case strings.HasPrefix(fun.Sel.Name, "NewPrometheusHistogram"), strings.HasPrefix(fun.Sel.Name, "GetOrCreate"),
			fun.Sel.Name == "NewCounter", fun.Sel.Name == "NewGauge", fun.Sel.Name == "NewHistogram":
			t.Errorf("%s.%s makes a metric without metric.New", pages.Name(fun.X), fun.Sel.Name)
		}
	})
	if len(declared) < 30 {
		t.Errorf("%d families were found", len(declared))
	}
	for family, n := range declared {
		if n > 1 {
			t.Errorf("%s is declared at %d places", family, n)
		}
	}
}

// TestReloadMetrics counts each kind of reload, and tells when all was good last.
func TestReloadMetrics(t *testing.T) {
	s := newStack(t, "alice@gmail.com", "bob@outlook.com")
	s.live.cancel() // only the test reloads
	s.live.wg.Wait()
	config, accounts := apptest.ReadAll(t, s.Files.Config), apptest.ReadAll(t, s.Files.Accounts)
	for _, tt := range []struct {
		name             string
		config, accounts string
		want             int
	}{
		{"nothing changed", config, accounts, reloadOK},
		{"unreadable", config, "{", reloadFailed},
		{"a wrong entry", config, strings.Replace(accounts, `"outlook"`, `"outlok"`, 1), reloadPartly},
		{"a setting that takes a restart", strings.Replace(config, "{", `{"providers": {"gmail": {"max_recipients": 9}}, "upstream": {"shards": 3},`, 1), accounts, reloadPartly},
		{"as at first", config, accounts, reloadOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apptest.WriteFile(t, s.Files.Config, tt.config)
			apptest.WriteFile(t, s.Files.Accounts, tt.accounts)
			m := s.live.metrics
			m.lastGood.Set(0)
			var before [numReloadResults]uint64
			for i, c := range m.results {
				before[i] = c.Get()
			}
			_, _ = s.live.reload("test", false)
			for i, c := range m.results {
				if more := c.Get() - before[i]; more > 1 || (more == 1) != (i == tt.want) {
					t.Errorf("%s: %d, then %d", reloadResults[i], before[i], c.Get())
				}
			}
			if good := m.lastGood.Get() != 0; good != (tt.want == reloadOK) {
				t.Errorf("the time of the last good reload changed: %t", good)
			}
		})
	}
}
