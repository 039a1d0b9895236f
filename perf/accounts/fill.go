package main

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
)

const (
	// tokenLength is that of Microsoft's access tokens, the longest ones.
	tokenLength = 1800
	// savers is how many records are saved at one time: they share a write.
	savers = 500
)

// saveAll saves a record for each account of a file, as if it had been used
// yesterday.
func saveAll(kept *tokenstore.Store, accounts string) error {
	text, err := os.ReadFile(accounts)
	if err != nil {
		return err
	}
	var root struct {
		Accounts []struct {
			ID      string `json:"account_id"`
			Client  string `json:"client_id"`
			Refresh string `json:"refresh_token"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(text, &root); err != nil {
		return err
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	var g errgroup.Group
	g.SetLimit(savers)
	for _, a := range root.Accounts {
		g.Go(func() error {
			chain := oauth.ChainOf(&account.Account{ID: a.ID, ClientID: a.Client, RefreshToken: account.NewSecret(a.Refresh)})
			return kept.Save(chain, oauth.Record{Access: account.NewSecret(strings.Repeat("a", tokenLength)),
				Refreshed: yesterday, Expiry: yesterday.Add(time.Hour), Seen: yesterday})
		})
	}
	return g.Wait()
}
