package accountfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
	"xoauth2-proxy/internal/durable"
	"xoauth2-proxy/internal/seal"
)

// fileReference begins a reference to a file.
const fileReference = "file:"

// ErrNoSecretFile: a reference names something else than a file.
var ErrNoSecretFile = errors.New("a command cannot change what it stands for")

// SecretFile is a file with a secret to which accounts refer.
type SecretFile struct{ t *target }

// NewSecretFile returns the file that a reference names. Errors: ErrNoSecretFile, and
// those of the file system.
func NewSecretFile(reference string) (*SecretFile, error) {
	path, ok := strings.CutPrefix(reference, fileReference)
	if !ok {
		return nil, ErrNoSecretFile
	}
	t, err := targetAt(path)
	if err != nil {
		return nil, err
	}
	return &SecretFile{t}, nil
}

// Path is the file, with all symbolic links followed.
func (f *SecretFile) Path() string { return f.t.path }

// Rehearse finds out whether Replace would work.
func (f *SecretFile) Rehearse() error {
	return f.locked(func() error { return f.put(account.NewSecret("x"), durable.File.Rehearse) })
}

// Replace makes secret the content of the file, in one step and durably. The file keeps
// its owner and mode, and the line end that it had.
func (f *SecretFile) Replace(secret account.Secret) error {
	return f.locked(func() error { return f.put(secret, durable.File.Replace) })
}

// Renew is Replace if the file has the secret old at that time, or secret already; else
// another program has put its own there, and renewed is false.
func (f *SecretFile) Renew(old, secret account.Secret) (renewed bool, err error) {
	err = f.locked(func() error {
		now, err := seal.Resolve(fileReference+f.t.path, nil, seal.Field{})
		if renewed = err == nil && (now == old.Reveal() || now == secret.Reveal()); !renewed {
			return err
		}
		return f.put(secret, durable.File.Replace)
	})
	return renewed && err == nil, err
}

// locked calls do with the lock of the file.
func (f *SecretFile) locked(do func() error) error {
	unlock, err := f.t.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// put has do write the secret.
func (f *SecretFile) put(secret account.Secret, do func(durable.File, []byte) error) error {
	data := []byte(secret.Reveal())
	if old, err := os.ReadFile(f.t.path); err != nil || bytes.HasSuffix(old, []byte("\n")) {
		data = append(data, '\n')
	}
	file := f.t.file()
	file.Prepare = f.prepare
	if err := do(file, data); err != nil {
		return fmt.Errorf("%s: %w", f.t.path, err)
	}
	return nil
}

// prepare gives the new file the owner and the mode of the old one.
func (f *SecretFile) prepare(file *os.File) error {
	if err := f.t.keepOwner(file); err != nil || f.t.old == nil {
		return err
	}
	return file.Chmod(f.t.old.Mode().Perm())
}

// Reference returns the reference that stands for the secret key of the account with
// that email; "" if there is none, or the secret itself stands there, sealed or not.
func (l *List) Reference(email, key string) string {
	object := l.byEmail(email)
	if object == nil {
		return ""
	}
	value := jsonedit.StringMember(object, key)
	if !seal.IsReference(value) || seal.IsSealed(value) {
		return ""
	}
	return value
}
