package account

import "reflect"

// part is what a field of an Account has to do with its secrets and tokens.
type part int

const (
	// apart has nothing to do with them, or only with how they are used.
	apart part = iota
	// secret is sent to others, or used to sign what is sent.
	secret
	// destination decides where secrets and tokens go, or whose they are.
	destination
)

// parts lists each field of Account with its kind, and the key of a file that sets it. A
// test compares the list with the struct: a new field needs a decision.
var parts = []struct {
	field, key string
	part       part
}{
	{"ID", "account_id", apart}, // tokens are kept under it, for one chain of refresh tokens each
	{"Email", "email", destination},
	{"Provider", "provider", destination},
	{"Tenant", "tenant", apart}, // TokenURL has it
	{"VMTA", "vmta_name", apart},
	{"Senders", "senders", apart},
	{"Flow", "oauth_flow", destination},
	{"ClientID", "client_id", destination},
	{"TokenURL", "oauth_token_url or tenant", destination},
	{"Scope", "scope", destination},
	{"AuthIdentity", "auth_identity", destination},
	{"Mechanism", "auth_mechanism", apart},
	{"InitialResponse", "initial_response", apart}, // in which line the token is sent
	{"Avoid", "avoid", apart},
	{"ClientPassword", "client_password", apart}, // what clients send to the proxy
	{"ClientSecret", "client_secret", secret},
	{"SecretExpires", "client_secret_expires", apart},
	{"ClientAuth", "client_auth", apart}, // in which part of a request the secret is sent
	{"RefreshToken", "refresh_token", secret},
	{"Certificate", "client_certificate", apart}, // public
	{"PrivateKey", "client_private_key or service_account_key", secret},
	{"PrivateKeyID", "private_key_id", apart},
	{"Subject", "subject", destination},
	{"TokenCommand", "token_command", destination},
	{"TokenProxy", "oauth_proxy", destination},
	{"TokenCAFile", "oauth_ca_file", destination},
	{"SMTP", "oauth_endpoint or tls", destination},
	{"SourceIP", "ip_address", apart},
	{"Extensions", "extensions", apart},
	{"AnnouncedSize", "extensions", apart},
	{"Limits", "limits", apart},
	{"RefreshMargin", "refresh_margin", apart},
	{"Retry", "retry", apart},
	{"KeepAlive", "oauth_keep_alive", apart},
}

// Redirected returns the keys by which a and b differ in where the secrets and tokens of an
// account go, or in their owner. It is nil if a secret of a may be used for b.
func (a *Account) Redirected(b *Account) (keys []string) {
	was, is := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for _, p := range parts {
		before, after := was.FieldByName(p.field).Interface(), is.FieldByName(p.field).Interface()
		if p.part == destination && !reflect.DeepEqual(before, after) {
			keys = append(keys, p.key)
		}
	}
	return keys
}
