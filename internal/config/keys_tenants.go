package config

import (
	"errors"
	"math"
	"slices"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/upstream"
)

// tenantDraft is what a section tenants.NAME says.
type tenantDraft struct {
	licences, recipients keyfile.Given[int]
	domains, aliases     []string
}

// tenantTable is the keys of a section tenants.NAME.
var tenantTable = keyfile.NewTable([]keyfile.Key[tenantDraft]{
	keyfile.Opt("licences", keyfile.Whole(1, 10_000_000), func(t *tenantDraft) *keyfile.Given[int] { return &t.licences },
		"licences for mail that the tenant has bought, without trials: Microsoft lets all its mailboxes together have 500 * licences^0.7 + 9500 external recipients in 24 hours (1 licence: 10000, 100: 22059, 1000: 72446); needed, unless external_recipients_per_day is set"),
	keyfile.Opt("external_recipients_per_day", keyfile.Whole(1, 1_000_000_000), func(t *tenantDraft) *keyfile.Given[int] { return &t.recipients },
		"external recipients in 24 hours instead, of all accounts of the tenant together, more get 452; a trial tenant has 5000; at most what licences give, if they are set"),
	keyfile.Set("domains", listOf(checkDomain), func(t *tenantDraft) *[]string { return &t.domains },
		"list of the tenant's own domains, as its accepted domains: recipients there are not external; the names of the tenant are own domains as well; default none"),
	keyfile.Set("aliases", listOf(checkTenantName), func(t *tenantDraft) *[]string { return &t.aliases },
		"list of further names of the tenant that accounts have, as its GUID or other domains of their mailboxes; default none"),
})

// licensed is Microsoft's limit for a tenant with so many licences, to the nearest whole
// number as in its table ("Introducing Exchange Online Tenant Outbound Email Limits",
// Exchange team blog).
func licensed(licences int) int {
	return int(math.Round(500*math.Pow(float64(licences), 0.7) + 9500))
}

// readTenants reads the sections tenants.NAME.
func (d *draft) readTenants(v *keyfile.Value) {
	tenants := make(map[string]upstream.Tenant)
	holders := make(map[string]string) // of all names
	v.EachMember(func(name string, member *keyfile.Value) {
		t, problems := new(tenantDraft), len(*v.File.Problems)
		tenantTable.Apply(v.File, member.Node, member.Place.Child("."), t)
		if _, err := checkTenantName(name); err != nil {
			member.Fail("%v", err)
		}
		for _, n := range append([]string{name}, t.aliases...) {
			if other, taken := holders[n]; taken {
				member.Fail("%q names tenants.%s too", n, other)
			}
			holders[n] = name
		}
		if len(*v.File.Problems) == problems && !t.licences.OK() && !t.recipients.OK() {
			member.Fail("needs licences or external_recipients_per_day")
		}
		tenants[name] = upstream.Tenant{ExternalRecipients: t.limit(), Domains: t.domains, Aliases: t.aliases}
	})
	if len(tenants) > 0 {
		d.settings.Upstream.Tenants = tenants
	}
}

// limit is the lower one of the limits that are given.
func (t *tenantDraft) limit() int {
	if !t.licences.OK() {
		return t.recipients.Value // 0 if there is none, which is a problem
	}
	most := licensed(t.licences.Value)
	switch {
	case !t.recipients.OK():
		return most
	case t.recipients.Value > most:
		t.recipients.Entry.Clamp(most, "Microsoft allows no more for the licences")
		return most
	}
	return t.recipients.Value
}

// listOf reads an array of strings that check takes.
func listOf(check func(string) (string, error)) keyfile.Reader[[]string] {
	return func(v *keyfile.Value) (list []string, ok bool) {
		before := len(*v.File.Problems)
		v.EachElement(func(e *keyfile.Value) {
			problems := len(*v.File.Problems)
			s, ok := keyfile.Checked(check)(e)
			if !ok && len(*v.File.Problems) == problems {
				e.Fail("must not be empty")
			}
			list = append(list, s)
		})
		return list, len(*v.File.Problems) == before
	}
}

// checkDomain accepts a domain with a dot, and returns it in lower case.
func checkDomain(s string) (string, error) {
	s = strings.ToLower(s)
	if len(s) > 253 || !strings.Contains(strings.Trim(s, "."), ".") || strings.Trim(s, ".") != s || strings.Contains(s, "..") || strings.ContainsAny(s, " \t:/@[]\\\"<>,;()*%") {
		return "", errors.New("must be a domain, such as contoso.com")
	}
	return s, nil
}

// checkTenantName accepts a domain or a GUID, and returns it in lower case.
func checkTenantName(s string) (string, error) {
	s = strings.ToLower(s)
	if slices.Contains(account.AnyTenant, s) {
		return "", errors.New("stands for many tenants: name the one of the accounts, by a domain or a GUID")
	}
	if _, err := checkDomain(s); err == nil || isGUID(s) {
		return s, nil
	}
	return "", errors.New("must be a tenant: a domain, or a GUID such as 01234567-89ab-cdef-0123-456789abcdef")
}

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch dash := i == 8 || i == 13 || i == 18 || i == 23; {
		case dash != (c == '-'), !dash && (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}
