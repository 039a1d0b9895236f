package accountfile

import (
	"testing"

	"xoauth2-proxy/internal/keyfile/keytest"
)

// TestCompleteAccountsExplainEveryKey holds the complete sample against the table:
// every key is there, and its documentation in a comment before it.
func TestCompleteAccountsExplainEveryKey(t *testing.T) {
	accounts := keytest.Read(t, "../../configs/accounts.complete.json")
	keytest.CheckExplained(t, accounts.At(t, "accounts"), accountTable)
}
