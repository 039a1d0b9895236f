package sandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// SampleAccounts returns n accounts, Gmail and Outlook in turn: the first two
// are user@gmail.com and user@outlook.com, then user2@gmail.com and so on.
func SampleAccounts(n int) []Account {
	out := make([]Account, n)
	for i := range out {
		local := "user"
		if i >= 2 {
			local = fmt.Sprintf("user%d", i/2+1)
		}
		a := Account{Email: local + "@gmail.com", Provider: PresetGmail, ClientSecret: "sandbox-secret"}
		if i%2 == 1 {
			a = Account{Email: local + "@outlook.com", Provider: PresetOutlook}
		}
		out[i] = a.withDefaults()
	}
	return out
}

// providerOf guesses the provider from the domain.
func providerOf(email string) string {
	_, domain, _ := strings.Cut(strings.ToLower(email), "@")
	switch domain {
	case "outlook.com", "hotmail.com", "live.com", "msn.com":
		return PresetOutlook
	}
	return PresetGmail
}

// ProxyFiles are the files that make a proxy relay to the sandbox.
type ProxyFiles struct {
	Accounts string // accounts.json
	Config   string // config.json
	CA       string // ca.pem
}

// proxyAccount is an entry of the proxy's accounts.json.
type proxyAccount struct {
	AccountID     string `json:"account_id"`
	Email         string `json:"email"`
	Provider      string `json:"provider"`
	ClientID      string `json:"client_id"`
	ClientSecret  string `json:"client_secret,omitempty"`
	RefreshToken  string `json:"refresh_token"`
	OAuthTokenURL string `json:"oauth_token_url"`
	OAuthEndpoint string `json:"oauth_endpoint"`
}

// WriteProxyFiles writes accounts.json, config.json and ca.pem to dir for a
// proxy that relays to this sandbox. Accounts of an endpoint without STARTTLS
// are an error.
func (s *Server) WriteProxyFiles(dir string) (ProxyFiles, error) {
	var files ProxyFiles
	accounts := []proxyAccount{}
	for _, a := range s.Accounts() {
		_, port, err := net.SplitHostPort(s.Addr(a.Endpoint))
		if err != nil {
			return files, fmt.Errorf("account %s: endpoint %s has no STARTTLS port", a.ID, a.Endpoint)
		}
		accounts = append(accounts, proxyAccount{
			AccountID: a.ID, Email: a.Email, Provider: a.Provider, ClientID: a.ClientID, ClientSecret: a.ClientSecret,
			RefreshToken: s.RefreshToken(a.Email), OAuthTokenURL: s.TokenURL(), OAuthEndpoint: "localhost:" + port,
		})
	}
	ca, err := s.WriteCA(dir)
	if err != nil {
		return files, err
	}
	if ca, err = filepath.Abs(ca); err != nil {
		return files, err
	}
	files = ProxyFiles{Accounts: filepath.Join(dir, "accounts.json"), Config: filepath.Join(dir, "config.json"), CA: ca}
	if err := writeJSON(files.Accounts, map[string]any{"accounts": accounts}); err != nil {
		return files, err
	}
	return files, writeJSON(files.Config, map[string]any{"upstream": map[string]string{"ca_file": ca}})
}

// writeJSON writes a file that only its owner may read: it has secrets, if
// only of a sandbox.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
