package sandbox

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

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

// proxyFiles are the files in dir.
func proxyFiles(dir string) ProxyFiles {
	return ProxyFiles{Accounts: filepath.Join(dir, "accounts.json"), Config: filepath.Join(dir, "config.json"), CA: filepath.Join(dir, caName)}
}

// CheckProxyFiles reports whether WriteProxyFiles would replace a file that the
// sandbox did not write. The error is then ErrInTheWay and names every such file.
func CheckProxyFiles(dir string) error {
	f := proxyFiles(dir)
	return checkFree(f.Accounts, f.Config, f.CA)
}

// WriteProxyFiles writes accounts.json, config.json and ca.pem to dir for a
// proxy that relays to this sandbox, all or none. It replaces files that a
// sandbox wrote and that are unchanged; any other is ErrInTheWay. Accounts of an
// endpoint without STARTTLS are an error.
func (s *Server) WriteProxyFiles(dir string) (ProxyFiles, error) {
	files := proxyFiles(dir)
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
	var err error
	if files.CA, err = filepath.Abs(files.CA); err != nil {
		return files, err
	}
	accountsText, err := markedJSON("accounts", accounts)
	if err != nil {
		return files, err
	}
	configText, err := markedJSON("upstream", map[string]string{"ca_file": files.CA})
	if err != nil {
		return files, err
	}
	return files, writeAll( // 0600: they have secrets, though only of a sandbox
		output{files.Accounts, accountsText, 0o600}, output{files.Config, configText, 0o600}, s.caFile(files.CA))
}

// markedJSON returns an object with a note, see mark, and one key more.
func markedJSON(key string, v any) ([]byte, error) {
	b, err := json.MarshalIndent(map[string]any{"_note": emptyMark, key: v}, "", "  ")
	return append(b, '\n'), err
}

// caName is the file name of the CA certificate.
const caName = "ca.pem"

// caFile is the CA certificate. PEM allows text before a certificate.
func (s *Server) caFile(path string) output {
	return output{path, append([]byte(emptyMark+"\n"), s.CAPEM()...), 0o644}
}

// WriteCA writes the CA certificate to dir/ca.pem and returns that path. Errors:
// ErrInTheWay, see WriteProxyFiles.
func (s *Server) WriteCA(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, caName)
	return path, writeAll(s.caFile(path))
}
