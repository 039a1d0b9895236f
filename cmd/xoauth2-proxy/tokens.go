package main

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"xoauth2-proxy/internal/config"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

// openTokenStore opens the file that tokens are kept in; nil if there is to be
// none.
func openTokenStore(s *config.Settings) (*tokenstore.Store, error) {
	if s.OAuth.TokenStore == "" {
		return nil, nil
	}
	kept, err := tokenstore.Open(tokenstore.Config{Path: s.OAuth.TokenStore, Keys: s.Secrets.Key})
	if errors.Is(err, tokenstore.ErrInUse) {
		err = fmt.Errorf("%w: two cannot share the refresh tokens that providers replace; if the proxy is running, stop it first", err)
	}
	if err != nil {
		return nil, fmt.Errorf("oauth.token_store: %w", err)
	}
	return kept, nil
}

// storedTokens is the configuration of a token manager that keeps its tokens
// in the store, which may be nil.
func storedTokens(s *config.Settings, kept *tokenstore.Store) oauth.Config {
	c := s.OAuth.Config
	if kept != nil {
		c.Store = kept
	}
	return c
}

// closeTokens ends the token manager, and closes its store behind it.
func (p *proxy) closeTokens() {
	if p.tokens != nil {
		p.tokens.Close()
	}
	if p.kept == nil {
		return
	}
	if err := p.kept.Close(); err != nil {
		p.log.Error("closing the token store", zap.Error(err))
	}
}
