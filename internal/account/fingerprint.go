package account

import (
	"crypto/sha256"
	"encoding/binary"
)

// fingerprints are the two hashes of an account, computed once by NewSnapshot
// because they are compared for every message.
type fingerprints struct {
	// owner is the account that was hashed. A copy of the account has the same
	// pointer and may then be changed: these are not its hashes.
	owner                   *Account
	credentials, connection [sha256.Size]byte
	// mailbox is MailboxKey.
	mailbox string
}

// MailboxKey names the mailbox at a provider that the account sends from: endpoint and
// identity, in any case. Accounts with one key share what the provider counts. It begins
// with NUL, unlike an ID.
func (a *Account) MailboxKey() string {
	if a.prints != nil && a.prints.owner == a {
		return a.prints.mailbox
	}
	return "\x00" + FoldLogin(a.SMTP.String()) + "\x00" + FoldLogin(a.Identity())
}

// ChainFingerprint is a hash of what the operator configured that makes the
// chain of refresh tokens: account, client and configured refresh token. A
// rotated refresh token stays good as long as it is the same, even if the
// client's secret was renewed or the scope changed. It reveals no secret, yet it
// is made from one: do not print it.
func (a *Account) ChainFingerprint() [sha256.Size]byte {
	return sum("chain/1", a.ID, string(a.TokenFlow()), a.ClientID, a.RefreshToken.Reveal())
}

// CredentialsFingerprint is a hash of everything that access tokens come from:
// account, flow, client and how it authenticates, token URL or command, scope,
// subject and the configured refresh token. Access
// tokens got under another fingerprint are not this account's any more. It
// reveals no secret, yet it is made from some: do not print it.
func (a *Account) CredentialsFingerprint() [sha256.Size]byte {
	if a.prints != nil && a.prints.owner == a {
		return a.prints.credentials
	}
	return a.hashCredentials()
}

// ConnectionFingerprint is a hash of everything that an authenticated
// connection stands for: endpoint, source address, identity and credentials. A
// connection made under another fingerprint must not be used for this account.
func (a *Account) ConnectionFingerprint() [sha256.Size]byte {
	if a.prints != nil && a.prints.owner == a {
		return a.prints.connection
	}
	return a.hashConnection(a.hashCredentials())
}

// keepFingerprints computes and keeps both hashes, unless it has kept them already. It is
// not safe for an account without them that others use already.
func (a *Account) keepFingerprints() {
	if a.prints != nil && a.prints.owner == a {
		return
	}
	p := &fingerprints{owner: a, credentials: a.hashCredentials()}
	p.connection = a.hashConnection(p.credentials)
	p.mailbox = a.MailboxKey()
	a.prints = p
}

func (a *Account) hashCredentials() [sha256.Size]byte {
	form := "credentials/2"
	if a.ClientAuth == ClientSecretBasic {
		form += "+basic"
	}
	return sum(append([]string{form, a.ID, a.Email, string(a.TokenFlow()), a.ClientID,
		a.ClientSecret.Reveal(), a.RefreshToken.Reveal(), a.TokenURL, a.Scope, a.Certificate,
		a.PrivateKey.Reveal(), a.PrivateKeyID, a.TokenSubject()}, a.TokenCommand...)...)
}

func (a *Account) hashConnection(credentials [sha256.Size]byte) [sha256.Size]byte {
	var source string
	if a.SourceIP.IsValid() {
		source = a.SourceIP.String()
	}
	return sum("connection/2", a.SMTP.String(), string(a.SMTP.TLS), source, a.Identity(), string(a.Mechanism),
		string(rune(a.Avoid)), string(credentials[:]))
}

// sum hashes the parts, each after its length: no two lists of parts run together into the
// same input.
func sum(parts ...string) [sha256.Size]byte {
	var buf [1024]byte // more than most accounts need
	b := buf[:0]
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}
