package outlook

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/forecast"
	"xoauth2-proxy/internal/handover"
	"xoauth2-proxy/internal/hint"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// noCounts is the note for settings without the counts of the day.
const noCounts = "state_dir is not set: limits of a day are not forecast"

// keepAliveLate is how late keep-alive may be before it counts as failing: it looks at each
// account once an hour.
const keepAliveLate = 2 * time.Hour

// OfFiles returns what ends if no proxy runs: it reads the token store and the counts
// of the day. Their errors are those of packages tokenstore and quota.
func OfFiles(s *config.Settings, accounts *account.Snapshot, now time.Time) (forecast.Forecast, error) {
	f := &forecast.Facts{Now: now, Stopped: true}
	records := make(map[oauth.Chain]oauth.Record)
	if s.OAuth.TokenStore == "" {
		f.Notes = append(f.Notes, "oauth.token_store is not set: nothing is known of refresh tokens")
	} else if err := tokenstore.Read(tokenstore.Config{Path: s.OAuth.TokenStore, Keys: s.Secrets.Key},
		func(c oauth.Chain, r oauth.Record) { records[c] = r }); err != nil {
		return forecast.Forecast{}, fmt.Errorf("oauth.token_store: %w", err)
	}
	for _, a := range accounts.All() {
		known := forecast.Account{Account: a}
		if s.OAuth.TokenStore == "" {
			known.Refused = true // one note is enough
		}
		addToken(&known, s, records[oauth.ChainOf(a)])
		f.Accounts = append(f.Accounts, known)
	}
	counts := make(hourCounts)
	if s.StateDir == "" {
		f.Notes = append(f.Notes, noCounts)
	} else if err := quota.Read(s.StateFile(quota.FileName), counts.add); err != nil {
		return forecast.Forecast{}, fmt.Errorf("state_dir: %w", err)
	}
	f.Counts = append(counts.of(accounts), counts.ofTenants(s, accounts)...)
	addFiles(f, s, accounts)
	return forecast.Of(f), nil
}

// Parts are the parts of a running proxy that know what ends.
type Parts struct {
	Settings func() *config.Settings // in force
	Accounts *account.Store
	Tokens   *oauth.Manager
	Counts   *handover.Counts // nil: counts of the day are in memory only
}

// Forecast returns what ends while the proxy runs. It may read the token store.
func (p *Parts) Forecast(now time.Time) forecast.Forecast {
	s, accounts := p.Settings(), p.Accounts.Load()
	f := &forecast.Facts{Now: now}
	for _, acct := range accounts.All() {
		known := forecast.Account{Account: acct}
		if acct.TokenFlow() == account.FlowRefreshToken {
			st, _ := p.Tokens.State(acct.ID)
			addToken(&known, s, st.Kept)
			known.Refused = st.LastError != nil && st.LastError.RefreshTokenDead()
			known.NextUse = nextUse(&st, now)
		}
		f.Accounts = append(f.Accounts, known)
	}
	if p.Counts == nil {
		f.Notes = append(f.Notes, noCounts)
	} else {
		counts := make(hourCounts)
		for _, mailbox := range p.Counts.Accounts() {
			p.Counts.Each(mailbox, func(hour int64, messages, recipients uint32) {
				counts.add(mailbox, hour, messages, recipients)
			})
		}
		f.Counts = append(counts.of(accounts), counts.ofTenants(s, accounts)...)
	}
	addFiles(f, s, accounts)
	return forecast.Of(f)
}

// addToken adds what is stored of an account's refresh token, and what its provider allows.
func addToken(a *forecast.Account, s *config.Settings, r oauth.Record) {
	if p := s.Providers[a.Provider]; p != nil {
		a.Idle = p.RefreshIdle
	}
	a.Used, a.Seen, a.Ends, a.Rolls = r.LastUse(), r.Seen, r.RefreshEnds, r.RefreshRolls
}

// nextUse returns when a refresh token will be used by keep-alive, or before its access token
// expires, which is in use; zero: neither, or the last use failed.
func nextUse(st *oauth.AccountState, now time.Time) (next time.Time) {
	if st.LastError != nil {
		return next
	}
	if due := st.KeepAlive; !due.IsZero() && now.Sub(due) < keepAliveLate {
		next = due
		if due.Before(now) {
			next = due.Add(keepAliveLate)
		}
	}
	if at := st.NextRefresh; st.HasToken && at.After(now) && (next.IsZero() || at.Before(next)) {
		next = at
	}
	return next
}

// addFiles adds the certificates that the settings name. A file that cannot be read is for
// check to report.
func addFiles(f *forecast.Facts, s *config.Settings, accounts *account.Snapshot) {
	add := func(kind forecast.Kind, key, path string) {
		if path == "" {
			return
		}
		text, err := os.ReadFile(path)
		if err != nil {
			f.Notes = append(f.Notes, key+": "+err.Error())
		}
		if end, name, ok := forecast.FirstEnd(text, kind == forecast.CACertificate, f.Now); ok {
			what := key + " " + path + ": " + name
			f.Certificates = append(f.Certificates, forecast.Certificate{Kind: kind, What: what, End: end})
		}
	}
	add(forecast.ServerCertificate, "server.cert_file", s.Server.CertFile)
	add(forecast.CACertificate, "upstream.ca_file", s.Upstream.CAFile)
	add(forecast.CACertificate, "oauth.ca_file", s.OAuth.CAFile)
	seen := make(map[string]bool)
	for _, a := range accounts.All() {
		if path := a.TokenCAFile; !seen[path] {
			seen[path] = true
			add(forecast.CACertificate, "oauth_ca_file", path)
		}
	}
}

// hourCounts are messages and recipients by mailbox and hour.
type hourCounts map[string][2]map[int64]int

func (h hourCounts) add(mailbox string, hour int64, messages, recipients uint32) {
	if _, ok := h[mailbox]; !ok {
		h[mailbox] = [2]map[int64]int{{}, {}}
	}
	h[mailbox][0][hour] += int(messages)
	h[mailbox][1][hour] += int(recipients)
}

// of returns what the limits of the accounts, and of mailboxes of catch-all accounts, are
// compared with.
func (h hourCounts) of(accounts *account.Snapshot) (counts []forecast.Count) {
	add := func(a *account.Account, of [2]map[int64]int) {
		for i, l := range []struct {
			name string
			most int
			hint hint.ID
		}{{"messages a day", a.Limits.MessagesPerDay, hint.LimitMessagesPerDay}, {"recipients a day", a.Limits.RecipientsPerDay, hint.LimitRecipientsPerDay}} {
			if l.most > 0 {
				counts = append(counts, forecast.Count{Provider: a.Provider, Limit: l.name, Max: l.most, Hint: l.hint,
					Accounts: []string{a.Email}, Hours: of[i]})
			}
		}
	}
	configured := make(map[string]bool)
	for _, a := range accounts.All() {
		if of, ok := h[a.MailboxKey()]; ok {
			configured[a.MailboxKey()] = true
			add(a, of)
		}
	}
	for mailbox, of := range h {
		identity := mailbox[strings.LastIndexByte(mailbox, 0)+1:]
		if a, ok := accounts.ByLogin([]byte(identity)); ok && !configured[mailbox] && a.MailboxKey() == mailbox {
			add(a, of)
		}
	}
	return counts
}

// ofTenants returns what the limits of the tenants are compared with.
func (h hourCounts) ofTenants(s *config.Settings, accounts *account.Snapshot) (counts []forecast.Count) {
	for name, t := range s.Upstream.Tenants {
		of, ok := h[t.CountKey(name)]
		if !ok {
			continue
		}
		c := forecast.Count{Limit: "external recipients a day of the tenant " + name, Max: t.ExternalRecipients,
			Hint: hint.LimitTenantRecipientsPerDay, Hours: of[1]}
		for _, a := range accounts.All() {
			if own := strings.ToLower(a.TenantName()); own == name || slices.Contains(t.Aliases, own) {
				c.Provider, c.Accounts = a.Provider, append(c.Accounts, a.Email)
			}
		}
		counts = append(counts, c)
	}
	return counts
}
