package accountfile

import (
	"os"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

// Load reads the file of b.
func Load(b *Basis, m *Cache, ps *keyfile.Problems, report *keyfile.Report) *account.Snapshot {
	return b.readWhole(ps, report, func() *account.Snapshot {
		own := new(keyfile.Report)
		noteMode(b.Path, own)
		snapshot, ok := m.load(b, ps, own)
		if !ok {
			f := keyfile.Open(b.Path, ps, own)
			if f == nil {
				return nil
			}
			snapshot = readAccounts(f, b)
		}
		own.Group()
		report.Take(own)
		return snapshot
	})
}

// noteMode warns when others can read the secrets in the file at path.
func noteMode(path string, report *keyfile.Report) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&(0o077) != 0 {
		report.Notef("%s: mode %04o lets other users at its secrets; chmod 600 is right", path, info.Mode().Perm())
	}
}
