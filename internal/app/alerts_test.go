package app

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"xoauth2-proxy/internal/app/apptest"
	"xoauth2-proxy/internal/metric"
)

// alert is one of configs/prometheus/alerts.rules.yml, whose form the test knows: promtool
// checks that it is right.
type alert struct{ name, text string }

var (
	alertHead  = regexp.MustCompile(`(?m)^  - alert: (\w+)$`)
	alertField = regexp.MustCompile(`(?m)^ +(expr|for|severity|summary|description|runbook_url): ('.+'|.+)$`)
	recordHead = regexp.MustCompile(`(?m)^  - record: (\S+)$`)
)

func alertsOf(rules string) (alerts []alert) {
	heads := alertHead.FindAllStringSubmatchIndex(rules, -1)
	for i, h := range heads {
		end := len(rules)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		alerts = append(alerts, alert{rules[h[2]:h[3]], rules[h[0]:end]})
	}
	return alerts
}

// TestAlerts holds the alerts, docs/alerts.md and alerts.test.yml against each other: each
// alert has all its fields, a section that its runbook_url is the anchor of, and a case in
// which it fires and one in which it does not.
func TestAlerts(t *testing.T) {
	dir := filepath.Join("..", "..", "configs", "prometheus")
	page := apptest.ReadAll(t, filepath.Join("..", "..", "docs", "alerts.md"))
	cases := apptest.ReadAll(t, filepath.Join(dir, "alerts.test.yml"))
	alerts := alertsOf(apptest.ReadAll(t, filepath.Join(dir, "alerts.rules.yml")))
	if len(alerts) < 30 {
		t.Errorf("%d alerts were found", len(alerts))
	}
	var names []string
	for _, a := range alerts {
		names = append(names, a.name)
		fields := make(map[string]string)
		for _, m := range alertField.FindAllStringSubmatch(a.text, -1) {
			fields[m[1]] = strings.Trim(m[2], "'")
		}
		for _, field := range []string{"expr", "for", "severity", "summary", "description", "runbook_url"} {
			if fields[field] == "" {
				t.Errorf("%s has no %s", a.name, field)
			}
		}
		if fields["runbook_url"] != "docs/alerts.md#"+strings.ToLower(a.name) {
			t.Errorf("%s: runbook_url is %q", a.name, fields["runbook_url"])
		}
		_, section, found := strings.Cut(page, "\n### "+a.name+"\n")
		section, _, _ = strings.Cut(section, "\n### ")
		for _, part := range []string{"Severity: " + fields["severity"] + ".", "**What it means.** ", "**What to look at.**\n\n    ", "**What to do.** "} {
			if !found || !strings.Contains(section, part) {
				t.Errorf("docs/alerts.md, %s: there is no %q", a.name, part)
			}
		}
		for _, kind := range []string{"fires", "does not fire"} {
			_, text, found := strings.Cut(cases, "\n- name: "+a.name+" "+kind+"\n")
			text, _, _ = strings.Cut(text, "\n- name: ")
			if !found || !strings.Contains(text, "alertname: "+a.name) || strings.Contains(text, "exp_alerts: []") != (kind == "does not fire") {
				t.Errorf("alerts.test.yml has no case in which %s %s", a.name, kind)
			}
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (\w+)$|\]\(#(\w+)\)`).FindAllStringSubmatch(page, -1) {
		if name := m[1]; name != "" && !slices.Contains(names, name) {
			t.Errorf("docs/alerts.md has %s, which is no alert", name)
		}
		if anchor := m[2]; anchor != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.ToLower(n) == anchor }) {
			t.Errorf("docs/alerts.md links to #%s, which is no section", anchor)
		}
	}
}

var (
	quotedText = regexp.MustCompile(`"[^"]*"`)
	grouping   = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	selector   = regexp.MustCompile(`([a-zA-Z_][\w:]*)\s*(?:\{([^}]*)\})?`)
	matcher    = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	// words are what PromQL has beside names of metrics.
	words = regexp.MustCompile(`^(?:sum|min|max|count|topk|bottomk|rate|increase|changes|time|histogram_quantile|label_values|and|or|unless|` +
		`by|without|on|ignoring|group_left|group_right|up|e?\d.*|[smhd])$`)
)

// promLabels are labels that Prometheus or a histogram adds, or that metrics of the library
// have.
var promLabels = []string{"job", "instance", "le"}

// checkQuery returns which families and labels of a query are not declared.
func checkQuery(query string, recorded []string) (unknown []string) {
	labels := append([]string(nil), promLabels...)
	var asked []string
	for _, m := range grouping.FindAllStringSubmatch(query, -1) {
		for l := range strings.SplitSeq(m[1], ",") {
			if l = strings.TrimSpace(l); l != "" {
				asked = append(asked, l)
			}
		}
	}
	plain := grouping.ReplaceAllString(quotedText.ReplaceAllString(query, `""`), " ")
	plain = regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(plain, "")
	for _, m := range selector.FindAllStringSubmatch(plain, -1) {
		name := m[1]
		var own []string
		switch i := slices.IndexFunc(metric.Described(), func(d metric.Description) bool {
			return name == d.Name || slices.Contains([]string{"_bucket", "_sum", "_count"}, strings.TrimPrefix(name, d.Name))
		}); {
		case words.MatchString(name) && m[2] == "":
			continue
		case name == "up":
		case slices.Contains(recorded, name):
			own = []string{"provider", "result"}
		case i < 0:
			unknown = append(unknown, name)
			continue
		default:
			own = metric.Described()[i].Labels
		}
		labels = append(labels, own...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(own, l[1]) && !slices.Contains(promLabels, l[1]) {
				unknown = append(unknown, name+"{"+l[1]+"}")
			}
		}
	}
	for _, l := range asked {
		if !slices.Contains(labels, l) {
			unknown = append(unknown, "by ("+l+")")
		}
	}
	return unknown
}

// TestQueries finds the metrics and labels of all rules and dashboards among those that a
// proxy declares.
func TestQueries(t *testing.T) {
	fullStack(t)                       // has all families declared
	queries := make(map[string]string) // by place
	configs := filepath.Join("..", "..", "configs")
	var recorded []string
	for _, name := range []string{"recording.rules.yml", "alerts.rules.yml"} {
		text := apptest.ReadAll(t, filepath.Join(configs, "prometheus", name))
		for _, m := range recordHead.FindAllStringSubmatch(text, -1) {
			recorded = append(recorded, m[1])
		}
		expr := regexp.MustCompile(`(?ms)^    expr: (\|\n(?:      .*?\n)+|.*?$)`)
		for i, m := range expr.FindAllStringSubmatch(text, -1) {
			queries[fmt.Sprint(name, " ", i)] = strings.TrimPrefix(m[1], "|")
		}
	}
	files, err := filepath.Glob(filepath.Join(configs, "grafana", "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		var d struct {
			Title  string
			Panels []struct {
				Type, Title, Description string
				Targets                  []struct{ Expr string }
			}
			Templating struct {
				List []struct{ Name, Type, Query string }
			}
		}
		if err := json.Unmarshal([]byte(apptest.ReadAll(t, file)), &d); err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Templating.List {
			if v.Type == "query" {
				queries[d.Title+", variable "+v.Name] = strings.TrimSuffix(v.Query, ", "+v.Name+")")
			}
		}
		for _, p := range d.Panels {
			if p.Type != "row" && (len(p.Targets) == 0 || p.Title == "" || p.Description == "") {
				t.Errorf("%s: the panel %q lacks a query, a title or a description", d.Title, p.Title)
			}
			for i, target := range p.Targets {
				queries[fmt.Sprint(d.Title, ", ", p.Title, " ", i)] = target.Expr
			}
		}
	}
	if len(queries) < 90 {
		t.Errorf("%d queries were found", len(queries))
	}
	for place, query := range queries {
		if unknown := checkQuery(query, recorded); unknown != nil {
			t.Errorf("%s: %q are declared by no metric: %s", place, unknown, query)
		}
	}
}

// TestCheckQuery has names in queries that are wrong.
func TestCheckQuery(t *testing.T) {
	fullStack(t)
	for query, want := range map[string]string{
		`rate(messages_total{result="x"}[5m]) > 0`:                                 "",
		`sum by (le, provider) (rate(provider_queue_duration_seconds_bucket[5m]))`: "",
		`rate(message_total{result="x"}[5m])`:                                      "message_total",
		`messages_total{outcome="x"}`:                                              "messages_total{outcome}",
		`sum by (provider) (messages_total)`:                                       "by (provider)",
		`messages_total and up{job="x"} == 1`:                                      "",
	} {
		if got := strings.Join(checkQuery(query, nil), " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
