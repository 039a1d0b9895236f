package mailbox

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Providers of accounts.
const (
	Gmail   = "gmail"
	Outlook = "outlook"
)

// Account is one mailbox of the provider with the OAuth2 grant that opens it.
type Account struct {
	// ID names the account in the proxy's files. Default: derived from the
	// provider and Email.
	ID string `json:"account_id"`
	// Email is the mailbox and the login.
	Email string `json:"email"`
	// Provider is "gmail" or "outlook": the shape of the token answers.
	Provider string `json:"provider"`
	// Endpoint is the name of the only endpoint that accepts its login.
	// Default: Provider.
	Endpoint string `json:"endpoint"`
	// Tenant is the name of the tenant whose limit the mailbox shares. Default: none.
	Tenant string `json:"tenant"`
	// ClientID, ClientSecret and RefreshToken are what the token endpoint
	// demands. Without a ClientSecret the client is a public one. Default: a
	// ClientID of the provider and a RefreshToken of the ID.
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RefreshToken string `json:"refresh_token"`
	// RefreshIdle ends refresh tokens that were not used for so long; RefreshLife ends all of
	// a consent so long after it, used or not, which the answers tell. Default: neither.
	RefreshIdle wait.Duration `json:"refresh_idle"`
	RefreshLife wait.Duration `json:"refresh_life"`
	// SecretEnds is from when on the ClientSecret is refused. Default: never.
	SecretEnds time.Time `json:"client_secret_ends"`
}

// WithDefaults returns a with its defaults filled in.
func (a Account) WithDefaults() Account {
	a.Provider = cmp.Or(a.Provider, providerOf(a.Email))
	a.Endpoint = cmp.Or(a.Endpoint, a.Provider)
	a.ID = cmp.Or(a.ID, a.Provider+"_"+strings.NewReplacer("@", "_", ".", "_").Replace(a.Email))
	a.ClientID = cmp.Or(a.ClientID, "sandbox-client-"+a.Provider)
	a.RefreshToken = cmp.Or(a.RefreshToken, "sandbox-refresh-"+a.ID)
	return a
}

// Check reports what is wrong with the account, number i of a configuration.
// endpoints are the names of the endpoints; seen collects addresses.
func (a Account) Check(i int, endpoints, seen map[string]bool) (errs []error) {
	email := strings.ToLower(a.Email)
	if !strings.Contains(email, "@") {
		errs = append(errs, fmt.Errorf("accounts[%d].email: %q is no address", i, a.Email))
	}
	if seen[email] {
		errs = append(errs, fmt.Errorf("accounts[%d].email: %q is taken", i, a.Email))
	}
	seen[email] = true
	if a.Provider != Gmail && a.Provider != Outlook {
		errs = append(errs, fmt.Errorf("accounts[%d].provider: %q is neither gmail nor outlook", i, a.Provider))
	}
	if !endpoints[a.Endpoint] {
		errs = append(errs, fmt.Errorf("accounts[%d].endpoint: there is no endpoint %q", i, a.Endpoint))
	}
	return errs
}

// Sample returns n accounts, Gmail and Outlook in turn: user@gmail.com,
// user@outlook.com, then user2@gmail.com and so on.
func Sample(n int) []Account {
	out := make([]Account, n)
	for i := range out {
		local := "user"
		if i >= 2 {
			local = fmt.Sprintf("user%d", i/2+1)
		}
		a := Account{Email: local + "@gmail.com", Provider: Gmail, ClientSecret: "sandbox-secret"}
		if i%2 == 1 {
			a = Account{Email: local + "@outlook.com", Provider: Outlook}
		}
		out[i] = a.WithDefaults()
	}
	return out
}

// providerOf guesses the provider from the domain.
func providerOf(email string) string {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	switch domain {
	case "outlook.com", "hotmail.com", "live.com", "msn.com":
		return Outlook
	}
	return Gmail
}
