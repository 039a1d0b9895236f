package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/keyfile"
)

const (
	// minAdminToken keeps a token from being guessed.
	minAdminToken = 16
	// maxAdminTokenFile bounds, in octets, how much of a token file is read.
	maxAdminTokenFile = 4096
)

// checkAdminToken accepts what fits in an Authorization header.
func checkAdminToken(s string) (account.Secret, error) {
	if len(s) < minAdminToken {
		return account.Secret{}, fmt.Errorf("must have at least %d characters", minAdminToken)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return account.Secret{}, errors.New("must be printable ASCII without spaces")
	}
	return account.NewSecret(s), nil
}

// readAdminToken reads a token from the first line of a file.
func readAdminToken(path string) (account.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return account.Secret{}, fmt.Errorf("cannot be read: %w", keyfile.WithoutPath(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxAdminTokenFile))
	if err != nil {
		return account.Secret{}, fmt.Errorf("cannot be read: %w", keyfile.WithoutPath(err))
	}
	line, _, _ := strings.Cut(string(data), "\n")
	token, err := checkAdminToken(strings.TrimSpace(line))
	if err != nil {
		return token, fmt.Errorf("its first line %w", err)
	}
	return token, nil
}

// maxSocketPath is the length of the longest path of a socket (unix(7)).
const maxSocketPath = 107

// checkSocketPath accepts a path that a socket can have.
func checkSocketPath(path string) (string, error) {
	switch {
	case !filepath.IsAbs(path):
		return "", errors.New("must be an absolute path")
	case len(path) > maxSocketPath:
		return "", fmt.Errorf("has %d octets, the path of a socket has at most %d", len(path), maxSocketPath)
	}
	return filepath.Clean(path), nil
}
