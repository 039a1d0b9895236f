package accounts

import (
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/tokenstore"
	"xoauth2-proxy/oauth"
	"xoauth2-proxy/perf/lab"
)

const (
	// tokenLength is the length of Microsoft's access tokens, the longest ones.
	tokenLength = 1800
	// savers is how many records are saved at one time: they share a write.
	savers = 500
)

// fill puts a record for each account of the file into a token store, as if all had
// been used yesterday.
func fill(store, accounts string) error {
	kept, err := tokenstore.Open(tokenstore.Config{Path: store})
	if err != nil {
		return err
	}
	yesterday := time.Now().Add(-24 * time.Hour)
	var g errgroup.Group
	g.SetLimit(savers)
	for _, a := range lab.ReadAccounts(accounts) {
		text := func(key string) string { value, _ := a[key].(string); return value }
		g.Go(func() error {
			chain := oauth.ChainOf(&account.Account{ID: text("account_id"), ClientID: text("client_id"), RefreshToken: account.NewSecret(text("refresh_token"))})
			return kept.Save(chain, oauth.Record{Access: account.NewSecret(strings.Repeat("a", tokenLength)),
				Refreshed: yesterday, Expiry: yesterday.Add(time.Hour), Seen: yesterday})
		})
	}
	return errors.Join(g.Wait(), kept.Close())
}
