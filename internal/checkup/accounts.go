package checkup

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/keyfile"
)

// placeholder stands in the examples for a value that must be filled in.
const placeholder = "REPLACE-ME"

func isPlaceholder(s string) bool { return strings.Contains(strings.ToUpper(s), placeholder) }

// placeholders finds values that were never filled in.
func (fs *Findings) placeholders(accounts *account.Snapshot, report *keyfile.Report) {
	for _, e := range report.Entries() {
		if isPlaceholder(e.Value) {
			fs.add(Error, "%s:%d: %s: is still %s", e.File, e.Line, e.Key, placeholder)
		}
	}
	for _, a := range accounts.All() {
		for _, v := range []struct{ key, value string }{
			{"account_id", a.ID}, {"email", a.Email}, {"client_id", a.ClientID}, {"client_secret", a.ClientSecret.Reveal()},
			{"refresh_token", a.RefreshToken.Reveal()}, {"oauth_token_url or tenant", a.TokenURL}, {"scope", a.Scope},
			{"auth_identity", a.AuthIdentity}, {"subject", a.Subject}, {"oauth_endpoint", a.SMTP.Host}, {"client_password", a.ClientPassword.Reveal()},
			{"oauth_proxy", a.TokenProxy.Reveal()}, {"token_command", strings.Join(a.TokenCommand, " ")},
		} {
			if isPlaceholder(v.value) {
				fs.add(Error, "%s: %s: is still %s", a.Email, v.key, placeholder)
			}
		}
	}
}

// flows finds accounts whose tokens cannot be for SMTP.
func (fs *Findings) flows(s *config.Settings, accounts *account.Snapshot) {
	for _, a := range accounts.All() {
		if a.TokenFlow() == account.FlowClientCredentials {
			if tenant := tenantOf(a.TokenURL); slices.Contains(account.AnyTenant, tenant) {
				fs.add(Error, "%s: tenant: %q gives no application a token of its own: name the tenant of the mailbox", a.Email, tenant)
			}
		}
		if scope := notForSMTP(a.Scope); scope != "" {
			fs.add(Warning, "%s: scope: %q is not for SMTP, and the provider will refuse the login", a.Email, scope)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		p := s.Providers[name]
		for _, v := range []struct{ key, scope string }{{"scope", p.Scope}, {"consent_scope", p.ConsentScope}, {"app_scope", p.AppScope}} {
			if scope := notForSMTP(v.scope); scope != "" {
				fs.add(Warning, "providers.%s.%s: %q is not for SMTP, and the provider will refuse the login", name, v.key, scope)
			}
		}
	}
}

// tenantOf returns the first segment of the path of a token URL, in lower case.
func tenantOf(tokenURL string) string {
	u, err := url.Parse(tokenURL)
	if err != nil {
		return ""
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return strings.ToLower(tenant)
}

// notForSMTP returns the first of the scopes that is known to open another interface than
// SMTP; "" if there is none, or one for SMTP beside it.
func notForSMTP(scopes string) (other string) {
	for scope := range strings.FieldsSeq(scopes) {
		lower := strings.ToLower(scope)
		switch {
		case lower == "https://mail.google.com/", strings.Contains(lower, "smtp"), strings.HasPrefix(lower, "https://outlook.office") && strings.HasSuffix(lower, "/.default"):
			return ""
		case strings.Contains(lower, "graph.microsoft.com"), lower == "mail.send", strings.HasPrefix(lower, "https://www.googleapis.com/auth/gmail"),
			strings.Contains(lower, "imap.accessasuser"), strings.Contains(lower, "pop.accessasuser"):
			if other == "" {
				other = scope
			}
		}
	}
	return other
}

// shared finds refresh tokens that several mailboxes have: one of them will log in as the
// other.
func (fs *Findings) shared(accounts *account.Snapshot) {
	first := make(map[account.Secret]*account.Account)
	for _, a := range accounts.All() {
		if a.RefreshToken.IsZero() || isPlaceholder(a.RefreshToken.Reveal()) {
			continue
		}
		one := first[a.RefreshToken]
		if one == nil {
			first[a.RefreshToken] = a
		} else if account.FoldLogin(one.Identity()) != account.FoldLogin(a.Identity()) {
			fs.add(Warning, "%s: refresh_token: is that of %s too, which logs in as another user", a.Email, one.Email)
		}
	}
}

// providers finds sections of providers that no account uses.
func (fs *Findings) providers(s *config.Settings, accounts *account.Snapshot) {
	used, preset := make(map[string]bool), make(map[string]bool)
	for _, a := range accounts.All() {
		used[a.Provider] = true
	}
	for _, p := range append(account.Clouds(), account.Gmail(), account.Outlook(), account.Default()) {
		preset[p.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(s.Providers)) {
		if preset[name] || used[name] {
			continue
		}
		meant := ""
		for _, known := range slices.Sorted(maps.Keys(preset)) {
			if isMisspelled(name, known) {
				meant = fmt.Sprintf("; %q may be meant", known)
			}
		}
		fs.add(Warning, "providers.%s: no account uses it%s", name, meant)
	}
}

// tenants finds organizations at Microsoft that several accounts belong to and whose limit
// is not known, and tenants that no account belongs to.
func (fs *Findings) tenants(s *config.Settings, accounts *account.Snapshot) {
	missing, found := make(map[string]int), make(map[string]bool)
	persons, microsoft := account.Outlook().PersonalDomains, map[string]bool{"outlook": true}
	for _, cloud := range account.Clouds() {
		microsoft[cloud.Name] = true
	}
	for _, a := range accounts.All() {
		name := strings.ToLower(a.TenantName())
		found[name] = true
		if microsoft[a.Provider] && !slices.Contains(persons, name) {
			missing[name]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Upstream.Tenants)) {
		used := false
		for _, n := range append([]string{name}, s.Upstream.Tenants[name].Aliases...) {
			used = used || found[n]
			delete(missing, n)
		}
		if !used {
			fs.add(Warning, "tenants.%s: no account is of it: name it as the accounts' tenant, or as the domain of their email", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if n := missing[name]; n > 1 {
			fs.add(Note, "%d accounts are of the tenant %s, whose limit on external recipients is not known: Microsoft takes what exceeds it and bounces it later; set licences of tenants.%s", n, name, name)
		}
	}
}

// isMisspelled reports whether the letters of two words are the same but for two.
func isMisspelled(a, b string) bool {
	left := b
	extra := 0
	for _, r := range a {
		if i := strings.IndexRune(left, r); i >= 0 {
			left = left[:i] + left[i+len(string(r)):]
		} else {
			extra++
		}
	}
	return extra+len(left) <= 2
}
