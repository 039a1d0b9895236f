package account

import "slices"

// Equal reports whether a and b are configured alike in everything. Whether
// they were made from the same catch-all account does not matter.
func (a *Account) Equal(b *Account) bool {
	return a == b || a.sameNames(b) && a.sameCredentials(b) && a.sameUse(b)
}

func (a *Account) sameNames(b *Account) bool {
	return a.ID == b.ID && a.Email == b.Email && a.Provider == b.Provider && a.VMTA == b.VMTA &&
		a.AuthIdentity == b.AuthIdentity && a.ClientPassword == b.ClientPassword
}

func (a *Account) sameCredentials(b *Account) bool {
	return a.Flow == b.Flow && a.ClientID == b.ClientID && a.TokenURL == b.TokenURL && a.Scope == b.Scope &&
		a.ClientSecret == b.ClientSecret && a.RefreshToken == b.RefreshToken &&
		a.Certificate == b.Certificate && a.PrivateKey == b.PrivateKey && a.PrivateKeyID == b.PrivateKeyID &&
		a.Subject == b.Subject && slices.Equal(a.TokenCommand, b.TokenCommand) &&
		a.TokenProxy == b.TokenProxy && a.TokenCAFile == b.TokenCAFile
}

func (a *Account) sameUse(b *Account) bool {
	return a.Mechanism == b.Mechanism && a.SMTP == b.SMTP && a.SourceIP == b.SourceIP && a.Extensions == b.Extensions &&
		a.Limits == b.Limits && a.RefreshMargin == b.RefreshMargin && a.Retry == b.Retry && a.KeepAlive == b.KeepAlive
}

// Reusing returns a snapshot that says what s says, with the accounts of old in
// the place of those that are equal: what keeps an account need not look for
// what has changed, and what is new is not kept twice. It is old itself if
// nothing differs. It takes s, which nobody may have begun to use.
func (s *Snapshot) Reusing(old *Snapshot) *Snapshot {
	same := len(s.all) == len(old.all)
	for i, a := range s.all {
		was, ok := old.byID[a.ID]
		if !ok || !a.Equal(was) {
			same = false
			continue
		}
		s.all[i], s.byID[a.ID], s.byLogin[FoldLogin(a.Email)] = was, was, was
		same = same && old.all[i] == was
	}
	if same {
		return old
	}
	return s
}
