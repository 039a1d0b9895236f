package app

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/zap"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/checkup"
	"xoauth2-proxy/internal/metric"
)

// removable is how many accounts a reload may remove at any time. More than that, and
// more than half of all, are most likely a mistake.
const removable = 10

// acceptHint says how a reload is made to remove most accounts.
const acceptHint = "POST /admin/reload?accept_removals=true on the admin socket, or serve --accept-removals, if that is meant"

// checkRemovals refuses a reload that leaves no accounts, or removes more than half of
// them and more than a few: a file that was truncated, or another's. The accounts of wrong
// entries are in after as they were.
func checkRemovals(before, after *account.Snapshot) error {
	if before == after || before.Len() == 0 {
		return nil
	}
	if after.Len() == 0 {
		return fmt.Errorf("the file has no accounts, and %d are in force: %s", before.Len(), acceptHint)
	}
	hasID := func(id string) bool { _, ok := after.ByID(id); return ok }
	removed := countRemoved(before, hasID, after.Has)
	if isMost(removed, before.Len()) {
		return fmt.Errorf("%d of %d accounts would be removed: %s", removed, before.Len(), acceptHint)
	}
	return nil
}

// countRemoved counts the accounts that are gone. One that changed its id or its email, and
// not both, is still there.
func countRemoved(before *account.Snapshot, hasID, hasEmail func(string) bool) (n int) {
	for _, a := range before.All() {
		if !hasID(a.ID) && !hasEmail(a.Email) {
			n++
		}
	}
	return n
}

// isMost reports whether a reload may not remove so many of all accounts.
func isMost(removed, all int) bool { return removed > removable && 2*removed > all }

// mostNamed is how many wrong entries are named at one time.
const mostNamed = 20

// leftOutMessage is the message of the log line about wrong entries.
const leftOutMessage = "entries of the accounts file are wrong and left out"

// logLeftOut names the wrong entries of the accounts file.
func logLeftOut(log *zap.Logger, s *account.Snapshot) {
	entries := s.LeftOut()
	if len(entries) == 0 {
		return
	}
	var problems []string
	kept := 0
	for i, e := range entries {
		if i < mostNamed {
			problems = append(problems, e.Err.Error())
		}
		if e.Kept {
			kept++
		}
	}
	log.Error(leftOutMessage, zap.Int("entries", len(entries)), zap.Int("kept_as_before", kept), zap.Strings("problems", problems))
}

// logUnusableSources names accounts that cannot connect from here.
func logUnusableSources(log *zap.Logger, s *account.Snapshot) {
	if lines := checkup.UnusableSources(s); len(lines) > 0 {
		log.Warn("accounts cannot connect from their ip_address, and their messages get 451", zap.Int("accounts", len(lines)),
			zap.Strings("problems", lines[:min(len(lines), mostNamed)]))
	}
}

// watchLeftOut shows the wrong entries in force in the metrics, and beside readiness.
func watchLeftOut(store *account.Store, set *metrics.Set) (warnings func() []string) {
	metric.New(set, "accounts_left_out", "Wrong entries of the accounts file.").
		Do("`check` and the log name the entries with line and key. Correct them; the proxy reads the file when it changes.").
		Gauge(func() float64 { return float64(len(store.Load().LeftOut())) })
	return func() (lines []string) {
		for i, e := range store.Load().LeftOut() {
			if i == mostNamed {
				break
			}
			state := "its account is not in force"
			if e.Kept {
				state = "its account is in force as it was before"
			}
			// Readiness is told to everyone who can connect: no addresses.
			lines = append(lines, fmt.Sprintf("accounts[%d] on line %d of the accounts file is wrong: %s", e.Index, e.Line, state))
		}
		return lines
	}
}
