package app

import (
	"testing"
	"time"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/internal/quota"
)

// TestCountsByAccountBecomeCountsByMailbox: what an earlier version saved for three accounts of
// one identity is one sum, at the first start and at each later one.
func TestCountsByAccountBecomeCountsByMailbox(t *testing.T) {
	endpoint := account.Endpoint{Host: "smtp.gmail.com", Port: 587}
	snapshot, err := account.NewSnapshot([]*account.Account{
		{ID: "one", Email: "main@example.com", SMTP: endpoint},
		{ID: "two", Email: "two@example.com", AuthIdentity: "Main@example.com", SMTP: endpoint},
		{ID: "three", Email: "three@example.com", AuthIdentity: "main@example.com", SMTP: account.Endpoint{Host: "SMTP.gmail.com", Port: 587}},
		{ID: "other", Email: "other@example.com", SMTP: endpoint},
		{ID: "port", Email: "port@example.com", AuthIdentity: "main@example.com", SMTP: account.Endpoint{Host: "smtp.gmail.com", Port: 465}},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, hour := t.TempDir(), time.Now().Unix()/3600
	save := true
	for range 3 {
		store, _, err := quota.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if save {
			for i, a := range snapshot.All() {
				store.Save(a.ID, hour, uint32(1)<<i, 100<<i)
			}
		}
		save = false
		countByMailbox(store, snapshot)
		for i, want := range []uint32{1 + 2 + 4, 1 + 2 + 4, 1 + 2 + 4, 8, 16} {
			var messages, recipients uint32
			store.Load(snapshot.All()[i].MailboxKey(), func(_ int64, m, r uint32) { messages, recipients = messages+m, recipients+r })
			if messages != want || recipients != 100*want {
				t.Errorf("%s has %d messages and %d recipients, want %d and %d", snapshot.All()[i].ID, messages, recipients, want, 100*want)
			}
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
