package config

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/keyfile"
)

// sampleLines returns the lines of a sample, trimmed.
func sampleLines(t *testing.T, name string) []string {
	t.Helper()
	data, err := os.ReadFile(samples + name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// checkCommented wants a comment before every line that matches.
func checkCommented(t *testing.T, lines []string, setting func(string) bool) {
	t.Helper()
	for i, line := range lines {
		if setting(line) && (i == 0 || !strings.HasPrefix(lines[i-1], "#")) {
			t.Errorf("line %d is not explained: %s", i+1, line)
		}
	}
}

// TestServiceUnit holds the unit against the defaults that it depends on.
func TestServiceUnit(t *testing.T) {
	lines := sampleLines(t, "xoauth2-proxy.service")
	checkCommented(t, lines, func(line string) bool {
		return line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "[")
	})
	get := func(name string) string {
		for _, line := range lines {
			if value, ok := strings.CutPrefix(line, name+"="); ok {
				return value
			}
		}
		t.Errorf("%s is not set", name)
		return ""
	}
	s := newDefaults()
	if n, err := strconv.Atoi(get("LimitNOFILE")); err != nil || n < 2*s.Server.MaxConnections {
		t.Errorf("LimitNOFILE: %d, %v", n, err)
	}
	if d, err := time.ParseDuration(get("TimeoutStopSec")); err != nil || d <= s.Server.DrainTimeout {
		t.Errorf("TimeoutStopSec: %v, %v", d, err)
	}
	limit, ok := keyfile.ParseSize(strings.TrimPrefix(get("Environment"), "GOMEMLIMIT="))
	if high, err := strconv.Atoi(strings.TrimSuffix(get("MemoryHigh"), "G")); err != nil || !ok || limit <= s.Server.ContentBudget || int64(high)<<30 <= limit {
		t.Errorf("content budget %d, GOMEMLIMIT %d, MemoryHigh %dG", s.Server.ContentBudget, limit, high)
	}
	if get("RuntimeDirectory") != "xoauth2-proxy" || get("RuntimeDirectoryMode") != "0700" {
		t.Errorf("RuntimeDirectory: %s, %s", get("RuntimeDirectory"), get("RuntimeDirectoryMode"))
	}
	if get("ExecStart") != "/usr/local/bin/xoauth2-proxy serve --config /etc/xoauth2/config.json --accounts /var/lib/"+get("StateDirectory")+"/accounts.json" {
		t.Errorf("ExecStart: %s: accounts.json must be in a directory that ProtectSystem=%s leaves writable", get("ExecStart"), get("ProtectSystem"))
	}
	if get("Type") != "notify" || get("NotifyAccess") != "all" {
		t.Errorf("Type=%s, NotifyAccess=%s: an upgrade has two processes that tell systemd how they do", get("Type"), get("NotifyAccess"))
	}
	if get("ExecReload") != "/bin/kill -HUP $MAINPID" {
		t.Errorf("ExecReload: %s", get("ExecReload"))
	}
}

// TestSocketUnit holds the socket unit against the default listener.
func TestSocketUnit(t *testing.T) {
	lines := sampleLines(t, "xoauth2-proxy.socket")
	checkCommented(t, lines, func(line string) bool {
		return line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "[")
	})
	want := []string{
		"ListenStream=" + newDefaults().Server.Listeners[0].Address, "FileDescriptorName=clients", "Service=xoauth2-proxy.service",
	}
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("%s is not set", line)
		}
	}
}

// powermtaDirectives are those that PowerMTA has, of the ones that matter here.
var powermtaDirectives = []string{
	"always-allow-relaying", "auth-password", "auth-username", "backoff-max-msg-rate", "backoff-max-smtp-out", "backoff-retry-after",
	"backoff-to-normal-after", "bounce-after", "bounce-upon-5xx-greeting", "connection-idle-timeout", "dkim-sign",
	"max-msg-per-connection", "max-msg-rate", "max-rcpt-per-message", "max-smtp-out", "process-x-virtual-mta", "queue-to", "reply",
	"retry-after", "retry-recipients-after", "smtp-data-termination-timeout", "smtp-hosts", "smtp-pattern-list",
	"use-starttls", "use-unencrypted-plain-auth",
}

// TestPowerMTASyntax checks blocks, directives and explanations.
func TestPowerMTASyntax(t *testing.T) {
	lines := sampleLines(t, "powermta.conf")
	var open []string
	for i, line := range lines {
		name, _, _ := strings.Cut(strings.Trim(line, "</>"), " ")
		switch {
		case line == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "</"):
			if len(open) == 0 || open[len(open)-1] != name {
				t.Fatalf("line %d: %s ends %q", i+1, line, open)
			}
			open = open[:len(open)-1]
		case strings.HasPrefix(line, "<"):
			if !slices.Contains([]string{"domain", "source", "virtual-mta", "smtp-pattern-list"}, name) || !strings.HasSuffix(line, ">") {
				t.Errorf("line %d: unknown block %s", i+1, line)
			}
			open = append(open, name)
		case !slices.Contains(powermtaDirectives, name):
			t.Errorf("line %d: unknown directive %s", i+1, line)
		case len(open) == 0:
			t.Errorf("line %d: outside of a block: %s", i+1, line)
		case name != "reply" && strings.Contains(line, "#"):
			t.Errorf("line %d: the rest from # on is a comment: %s", i+1, line)
		}
	}
	if len(open) > 0 {
		t.Errorf("not ended: %q", open)
	}
	checkCommented(t, lines, func(line string) bool {
		return line != "" && !strings.ContainsAny(line[:1], "#<") && !strings.HasPrefix(line, "reply")
	})
}

// TestPowerMTASpeaksOfDefaults checks that the sample goes with the defaults of
// the proxy and of its providers.
func TestPowerMTASpeaksOfDefaults(t *testing.T) {
	lines := sampleLines(t, "powermta.conf")
	text := strings.Join(lines, "\n")
	s := newDefaults()
	gmail, outlook := s.Providers["gmail"].Limits, s.Providers["outlook"].Limits
	for _, want := range []string{
		"smtp-hosts [127.0.0.1]:2525",
		"max-smtp-out " + strconv.Itoa(gmail.MaxConnections), "max-rcpt-per-message " + strconv.Itoa(gmail.MaxRecipients),
		"max-msg-rate " + strconv.Itoa(gmail.MessagesPerDay) + "/d",
		"max-smtp-out " + strconv.Itoa(outlook.MaxConnections), "max-rcpt-per-message " + strconv.Itoa(outlook.MaxRecipients),
		"max-msg-rate " + strconv.Itoa(outlook.MessagesPerMinute) + "/m",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("%s is not there", want)
		}
	}
	if s.Server.Listeners[0].Address != "127.0.0.1:2525" || s.Upstream.TransactionTimeout != 8*time.Minute || !strings.Contains(text, "transaction_timeout (8m)") {
		t.Error("the sample speaks of other defaults")
	}
	if m := regexp.MustCompile(`smtp-data-termination-timeout (\S+)`).FindStringSubmatch(text); m == nil {
		t.Error("no smtp-data-termination-timeout")
	} else if d, err := time.ParseDuration(m[1]); err != nil || d <= s.Upstream.TransactionTimeout {
		t.Errorf("smtp-data-termination-timeout: %v, %v", d, err)
	}
}

// TestPowerMTAReadsTheHeader: X-Virtual-MTA, which the sample speaks of, has no effect in a
// source without this.
func TestPowerMTAReadsTheHeader(t *testing.T) {
	text := strings.Join(sampleLines(t, "powermta.conf"), "\n")
	if !regexp.MustCompile(`<source [^>]+>[^<]*\nprocess-x-virtual-mta yes\n[^<]*</source>`).MatchString(text) {
		t.Error("no source reads X-Virtual-MTA")
	}
}

// TestPowerMTAPatterns runs replies of the proxy and of the providers against
// the pattern list.
func TestPowerMTAPatterns(t *testing.T) {
	type pattern struct {
		text *regexp.Regexp
		do   string
	}
	var patterns []pattern
	for _, line := range sampleLines(t, "powermta.conf") {
		if m := regexp.MustCompile(`^reply /(.*)/ (mode=backoff|defer-queue)$`).FindStringSubmatch(line); m != nil {
			patterns = append(patterns, pattern{regexp.MustCompile(m[1]), m[2]})
		} else if strings.HasPrefix(line, "reply") {
			t.Errorf("no pattern: %s", line)
		}
	}
	const slower, waits = "mode=backoff", "defer-queue"
	for reply, want := range map[string]string{
		"451 4.3.2 Too many messages are waiting, try again later":                                          slower,
		"452 4.3.1 Insufficient memory for content, try again later":                                        slower,
		"421 4.7.0 Too many connections, try again later":                                                   slower,
		"454 4.7.0 Temporary authentication failure at the provider":                                        slower,
		"454 4.7.0 Too many login attempts, please try again later. gsmtp":                                  slower,
		"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded":                                     slower,
		"450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional": slower,
		"451 4.7.0 The account is paused by the operator, try again later":                                  slower,

		"535 5.7.8 Authentication credentials invalid":                                                 waits,
		"451 4.7.1 The account's limit of messages a minute is used up":                                slower,
		"452 4.7.1 The account's limit of recipients a day is used up":                                 waits,
		"550 5.4.5 Daily user sending limit exceeded. gsmtp":                                           waits,
		"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException":                     waits,
		"550 5.2.254 InvalidRecipientsException":                                                       waits,
		"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant": waits,

		"250 2.0.0 OK": "",
		"451 4.4.5 All connections of the account are busy, try again later": "",
		"452 4.5.3 Send this recipient in another transaction":               "",
		"421 4.3.2 Service shutting down":                                    "",
		"550 5.1.1 The email account that you tried to reach does not exist": "",
		"552 5.3.4 Message too big":                                          "",
	} {
		got := ""
		if i := slices.IndexFunc(patterns, func(p pattern) bool { return p.text.MatchString(reply) }); i >= 0 {
			got = patterns[i].do
		}
		if got != want {
			t.Errorf("%q: %q, want %q", reply, got, want)
		}
	}
	for _, reply := range []string{"451 4.7.0 The provider refuses the account's login, an operator must act"} {
		if i := slices.IndexFunc(patterns, func(p pattern) bool { return p.text.MatchString(reply) }); i < 0 || patterns[i].do != waits {
			t.Errorf("%q does not hold the queue", reply)
		}
	}
}
