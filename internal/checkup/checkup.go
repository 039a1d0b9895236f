package checkup

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
)

// Gravity is how bad a finding is.
type Gravity int

// The gravities, the worst first.
const (
	// Error: something does not work.
	Error Gravity = iota
	// Warning: something most likely is not as it was meant.
	Warning
	// Note: the file says one thing, and another is in force.
	Note
	// InForce: all is as the file says.
	InForce
)

var gravities = [...]string{Error: "error: ", Warning: "warning: ", Note: "note: ", InForce: ""}

// Finding is one thing that there is to say.
type Finding struct {
	Gravity Gravity
	// Text has no secret in it.
	Text string
}

// String returns the line for the finding.
func (f Finding) String() string {
	return gravities[f.Gravity] + strings.TrimPrefix(f.Text, gravities[f.Gravity])
}

// Findings are all there is to say.
type Findings []Finding

func (fs *Findings) add(g Gravity, format string, args ...any) {
	*fs = append(*fs, Finding{g, fmt.Sprintf(format, args...)})
}

// Count returns how many have that gravity.
func (fs Findings) Count(g Gravity) (n int) {
	for _, f := range fs {
		if f.Gravity == g {
			n++
		}
	}
	return n
}

// All returns everything, the worst first. report is what reading the files said.
func All(s *config.Settings, accounts *account.Snapshot, report *keyfile.Report) Findings {
	var fs Findings
	for _, e := range accounts.LeftOut() {
		for line := range strings.SplitSeq(e.Err.Error(), "\n") {
			fs.add(Error, "%s", line)
		}
	}
	fs.placeholders(accounts, report)
	fs.flows(s, accounts)
	fs.shared(accounts)
	fs.providers(s, accounts)
	fs.tenants(s, accounts)
	fs.certificates(s, accounts)
	fs.directories(s)
	fs.addresses(s, accounts)
	fs.descriptors(s, accounts)
	fs.report(report)
	slices.SortStableFunc(fs, func(a, b Finding) int { return cmp.Compare(a.Gravity, b.Gravity) })
	return fs
}

// report adds what reading the files said.
func (fs *Findings) report(report *keyfile.Report) {
	entries := make(map[string]keyfile.Status)
	for _, e := range report.Entries() {
		entries[e.String()] = e.Status
	}
	for _, line := range report.Lines() {
		status, entry := entries[line]
		switch {
		case !entry && (strings.HasPrefix(line, gravities[Warning]) || strings.Contains(line, "lets other users at its secrets")),
			entry && (status == keyfile.Unknown || status == keyfile.Warned):
			fs.add(Warning, "%s", line)
		case entry && status != keyfile.InForce:
			fs.add(Note, "%s", line)
		default:
			fs.add(InForce, "%s", line)
		}
	}
}
