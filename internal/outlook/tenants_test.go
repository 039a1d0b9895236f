package outlook

import (
	"slices"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/upstream"
)

// TestTenants: the limit of a tenant is compared with the recipients that were counted for
// it, and names all accounts of the tenant, by its name or an alias.
func TestTenants(t *testing.T) {
	of := func(email, tenant string) *account.Account {
		return &account.Account{ID: email, Email: email, Provider: "outlook", Tenant: tenant}
	}
	accounts, err := account.NewSnapshot([]*account.Account{
		of("a@Contoso.example", ""), of("b@other.example", "0aa-GUID"), of("c@other.example", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &config.Settings{}
	s.Upstream.Tenants = map[string]upstream.Tenant{
		"contoso.example": {ExternalRecipients: 100, Aliases: []string{"0aa-guid"}},
		"unused.example":  {ExternalRecipients: 100},
	}
	counts := make(hourCounts)
	counts.add("\x00tenant\x00contoso.example", 7, 3, 5)
	got := counts.ofTenants(s, accounts)
	if len(got) != 1 || got[0].Max != 100 || got[0].Hours[7] != 5 || got[0].Provider != "outlook" ||
		!slices.Equal(got[0].Accounts, []string{"a@Contoso.example", "b@other.example"}) {
		t.Errorf("%+v", got)
	}
}
