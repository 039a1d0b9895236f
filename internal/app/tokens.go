package app

import (
	"errors"
	"fmt"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/seal"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// OpenTokenStore opens the file that tokens are kept in; nil if the settings name
// none. The caller closes it, after the token manager that uses it.
func OpenTokenStore(s *config.Settings) (*tokenstore.Store, error) {
	if s.OAuth.TokenStore == "" {
		return nil, nil
	}
	return openTokenStore(s.OAuth.TokenStore, s.Secrets.Key)
}

func openTokenStore(path string, keys *seal.Keyring) (*tokenstore.Store, error) {
	kept, err := tokenstore.Open(tokenstore.Config{Path: path, Keys: keys})
	if errors.Is(err, tokenstore.ErrInUse) {
		err = fmt.Errorf("%w: two cannot share the refresh tokens that providers replace; if the proxy is running, stop it first", err)
	}
	if err != nil {
		return nil, fmt.Errorf("oauth.token_store: %w", err)
	}
	return kept, nil
}

// CheckTokenStore finds out whether OpenTokenStore would open the file, and changes
// nothing. A file that a running proxy has open is in order.
func CheckTokenStore(s *config.Settings) error {
	if s.OAuth.TokenStore == "" {
		return nil
	}
	err := tokenstore.Check(tokenstore.Config{Path: s.OAuth.TokenStore, Keys: s.Secrets.Key})
	if err == nil || errors.Is(err, tokenstore.ErrInUse) {
		return nil
	}
	return fmt.Errorf("oauth.token_store: %w", err)
}

// TokenConfig returns the configuration of a token manager that keeps its tokens
// in the store, which may be nil.
func TokenConfig(s *config.Settings, kept *tokenstore.Store) oauth.Config {
	c := s.OAuth.Config
	if kept != nil {
		c.Store = kept
	}
	return c
}

// serverTokens is the token manager as the server sees it.
type serverTokens struct{ m *oauth.Manager }

func (g serverTokens) Ready(a *account.Account) bool {
	src, err := g.m.SourceForLogin(a)
	return err == nil && src.Cached() != nil
}

func (g serverTokens) Fetch(a *account.Account, done func(error)) {
	src, err := g.m.SourceForLogin(a)
	if err != nil {
		go done(err) // not within this call
		return
	}
	src.Request(func(_ *oauth.Token, err error) { done(err) })
}
