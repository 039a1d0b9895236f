package accountfile

import (
	"os"
	"slices"
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// testBasis has the providers that are there without any configuration.
func testBasis() *Basis {
	b := &Basis{Path: "accounts.json", Providers: make(map[string]*account.Provider), BindSourceIP: true}
	for _, p := range append(account.Clouds(), account.Gmail(), account.Outlook(), account.Default()) {
		b.Providers[p.Name] = &p
	}
	return b
}

// reread reads the accounts of b once more.
func reread(b *Basis) (*account.Snapshot, *keyfile.Report, error) {
	var ps keyfile.Problems
	report := new(keyfile.Report)
	snapshot := Load(b, nil, &ps, report)
	return snapshot, report, ps.Err()
}

func TestReadableAccountsAreNoted(t *testing.T) {
	b := writeAccounts(t, "[]")
	if err := os.Chmod(b.Path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, report, err := reread(b)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{b.Path + ": mode 0644 lets other users at its secrets; chmod 600 is right", b.Path + ": accounts: 0 (nobody can log in)"}
	if got := report.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
