package backup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"xoauth2-proxy/internal/control"
	"xoauth2-proxy/internal/keyfile"
	"xoauth2-proxy/internal/quota"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/tokenstore"
)

// check finds out whether a proxy with those keys could start on the files of the archive.
func (a *Archive) check(keys *seal.Keyring) error {
	for _, f := range a.files {
		var err error
		switch f.name {
		case keyName:
			_, err = seal.ParseKeyring(string(f.data))
		case storeName:
			err = inMemory(f.data, func(path string) error {
				return tokenstore.Check(tokenstore.Config{Path: path, Keys: keys})
			})
		case quota.FileName:
			err = inMemory(f.data, quota.Check)
		case control.FileName:
			err = control.Check(f.data)
		case accountsName:
			err = checkAccounts(f.data, keys)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// checkAccounts finds accounts that cannot be read, or of which keys open none.
func checkAccounts(text []byte, keys *seal.Keyring) error {
	var ps keyfile.Problems
	keyfile.Parse(accountsName, text, &ps, new(keyfile.Report))
	if err := ps.Err(); err != nil {
		return err
	}
	needed := seal.KeysOf(text)
	has := func(id string) bool { return id == keys.ID() || slices.Contains(keys.OldIDs(), id) }
	if len(needed) == 0 || slices.ContainsFunc(needed, has) {
		return nil
	}
	return fmt.Errorf("its values are sealed with key %s, which secrets.key in config.json does not have", strings.Join(needed, ", "))
}

// inMemory has check look at a file with that content which is on no disk.
func inMemory(data []byte, check func(path string) error) error {
	fd, err := unix.MemfdCreate("backup", unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "backup")
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	if err := check(path); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), path+": ", "")) // the path means nothing to people
	}
	return nil
}
