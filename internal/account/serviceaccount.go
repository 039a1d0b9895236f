package account

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ServiceAccount is the content of a Google service account's key file.
type ServiceAccount struct {
	// Email is the service account itself: Account.ClientID.
	Email string
	// PrivateKey is its key in PEM form.
	PrivateKey Secret
	// PrivateKeyID names the key.
	PrivateKeyID string
	// TokenURL is the token endpoint; may be empty.
	TokenURL string
}

// ParseServiceAccount reads the JSON key file of a service account, as
// downloaded from Google. Its errors hold nothing of the file.
func ParseServiceAccount(key []byte) (ServiceAccount, error) {
	var f struct {
		Type         string `json:"type"`
		ClientEmail  string `json:"client_email"`
		PrivateKey   string `json:"private_key"`
		PrivateKeyID string `json:"private_key_id"`
		TokenURI     string `json:"token_uri"`
	}
	if err := json.Unmarshal(key, &f); err != nil {
		return ServiceAccount{}, errors.New("the key of a service account must be the JSON file that Google gave")
	}
	if f.Type != "service_account" {
		return ServiceAccount{}, fmt.Errorf(`the key file says type %q and not "service_account"`, cutType(f.Type))
	}
	if f.ClientEmail == "" || f.PrivateKey == "" {
		return ServiceAccount{}, errors.New("the key file of a service account needs client_email and private_key")
	}
	return ServiceAccount{
		Email: f.ClientEmail, PrivateKey: NewSecret(f.PrivateKey), PrivateKeyID: f.PrivateKeyID, TokenURL: f.TokenURI,
	}, nil
}

// cutType keeps what is shown of an unknown file short.
func cutType(s string) string { return s[:min(len(s), 32)] }
