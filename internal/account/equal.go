package account

import "slices"

// Equal reports whether a and b are configured alike in everything. Whether
// they were made from the same catch-all account does not matter.
func (a *Account) Equal(b *Account) bool {
	return a == b || a.sameNames(b) && a.sameCredentials(b) && a.sameUse(b)
}

func (a *Account) sameNames(b *Account) bool {
	return a.ID == b.ID && a.Email == b.Email && a.Provider == b.Provider && a.Tenant == b.Tenant && a.VMTA == b.VMTA &&
		a.AuthIdentity == b.AuthIdentity && a.ClientPassword == b.ClientPassword
}

func (a *Account) sameCredentials(b *Account) bool {
	return a.Flow == b.Flow && a.ClientID == b.ClientID && a.TokenURL == b.TokenURL && a.Scope == b.Scope &&
		a.ClientSecret == b.ClientSecret && a.ClientAuth == b.ClientAuth && a.RefreshToken == b.RefreshToken &&
		a.Certificate == b.Certificate && a.PrivateKey == b.PrivateKey && a.PrivateKeyID == b.PrivateKeyID &&
		a.Subject == b.Subject && slices.Equal(a.TokenCommand, b.TokenCommand) &&
		a.TokenProxy == b.TokenProxy && a.TokenCAFile == b.TokenCAFile
}

func (a *Account) sameUse(b *Account) bool {
	return a.Mechanism == b.Mechanism && a.InitialResponse == b.InitialResponse && a.Avoid == b.Avoid &&
		a.SMTP == b.SMTP &&
		a.SourceIP == b.SourceIP && a.Extensions == b.Extensions && a.AnnouncedSize == b.AnnouncedSize &&
		a.Limits == b.Limits && slices.Equal(a.Senders, b.Senders) &&
		a.RefreshMargin == b.RefreshMargin && a.Retry == b.Retry && a.KeepAlive == b.KeepAlive &&
		a.SecretExpires.Equal(b.SecretExpires)
}

// Reusing returns a snapshot with the same accounts as s, in which each account that equals
// one of old is replaced by it. So a holder of an account can compare pointers, and equal
// accounts are not kept twice. It is old itself if nothing differs, and s if no account is
// replaced.
func (s *Snapshot) Reusing(old *Snapshot) *Snapshot {
	all, same := old.replacing(s.all)
	switch {
	case same:
		return old.LeavingOut(s.leftOut)
	case slices.Equal(all, s.all):
		return s
	}
	reusing, err := newSnapshot(all)
	if err != nil { // what is in the place of an account has its id and email
		return s
	}
	return reusing.LeavingOut(s.leftOut)
}

// Renew is NewSnapshot of accounts, Reusing s. It is cheap if they are the accounts of s
// already. The wrong entries that s knows are not of the result, or are.
func (s *Snapshot) Renew(accounts []*Account) (*Snapshot, error) {
	all, same := s.replacing(accounts)
	if same {
		return s, nil
	}
	return newSnapshot(all)
}

// replacing returns accounts with those of s in the place of those that are
// equal. same says that they are those of s now, in the same order.
func (s *Snapshot) replacing(accounts []*Account) (all []*Account, same bool) {
	all = slices.Clone(accounts)
	same = len(all) == len(s.all)
	for i, a := range all {
		if i < len(s.all) && s.all[i] == a {
			continue
		}
		if was, ok := s.byID[a.ID]; ok && a.Equal(was) {
			all[i] = was
		}
		same = same && all[i] == s.all[i]
	}
	return all, same
}
