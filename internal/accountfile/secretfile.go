package accountfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/accountfile/internal/jsonedit"
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
func (f *SecretFile) Rehearse() error { return f.do(account.NewSecret("x"), true) }

// Replace makes secret the content of the file, in one step and durably. The file keeps
// its owner and mode, and the line end that it had.
func (f *SecretFile) Replace(secret account.Secret) error { return f.do(secret, false) }

func (f *SecretFile) do(secret account.Secret, rehearse bool) error {
	unlock, err := f.t.lock()
	if err != nil {
		return err
	}
	defer unlock()
	data := []byte(secret.Reveal())
	if old, err := os.ReadFile(f.t.path); err != nil || bytes.HasSuffix(old, []byte("\n")) {
		data = append(data, '\n')
	}
	file := f.t.file()
	file.Prepare = f.prepare
	put := file.Replace
	if rehearse {
		put = file.Rehearse
	}
	if err := put(data); err != nil {
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
