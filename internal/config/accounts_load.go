package config

import (
	"os"

	"xoauth2-proxy/internal/account"
)

// loadAccounts reads the file of b.
func loadAccounts(b *Basis, m *Memory, ps *problems, report *Report) *account.Snapshot {
	return b.readWhole(ps, report, func() *account.Snapshot {
		own := new(Report)
		noteMode(b.Path, own)
		snapshot, ok := m.load(b, ps, own)
		if !ok {
			f := openFile(b.Path, ps, own)
			if f == nil {
				return nil
			}
			snapshot = readAccounts(f, b)
		}
		own.group()
		report.take(own)
		return snapshot
	})
}

// noteMode warns when others can read the secrets in the file at path.
func noteMode(path string, report *Report) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&(0o077) != 0 {
		report.notef("%s: mode %04o lets other users at its secrets; chmod 600 is right", path, info.Mode().Perm())
	}
}
