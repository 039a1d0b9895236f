package sandbox

import (
	"sync/atomic"
	"testing"
	"time"
)

// TestTenant: all mailboxes of a tenant share its limit on external recipients. What is beyond
// is bounced after a 250, or refused.
func TestTenant(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		start := time.Now()
		var late atomic.Int64 // a time.Duration
		accounts := SampleAccounts(4)
		accounts[1].Tenant, accounts[3].Tenant = "contoso.example", "contoso.example"
		cfg := Config{Accounts: accounts, Now: func() time.Time { return start.Add(time.Duration(late.Load())) },
			Tenants: []Tenant{{Name: "contoso.example", ExternalRecipients: 2, Refuse: refuse}}, Limits: "off"}
		s := newServer(t, cfg)
		mustDeliver(t, s, accounts[1].Email, "1\r\n")
		mustDeliver(t, s, accounts[3].Email, "2\r\n")
		mustDeliver(t, s, accounts[0].Email, "of another tenant\r\n")
		if err := deliver(t, s, accounts[1].Email, "3\r\n"); refuse != refused(err, 550, "5.7.233 ") || !refuse && err != nil {
			t.Errorf("refuse %v: %v", refuse, err)
		}
		st, bounced := s.Stats(), int64(1)
		if refuse {
			bounced = 0
		}
		if st.Messages != 3 || st.Bounced != bounced || st.Violations[ViolationTenantLimit] != 1 {
			t.Errorf("refuse %v: %+v", refuse, st)
		}
		if got := s.TenantStats("contoso.example"); got != (TenantStats{Recipients: 2, MaxRecipients: 2, Beyond: 1}) {
			t.Errorf("refuse %v: %+v", refuse, got)
		}
		late.Store(int64(24*time.Hour + time.Second))
		mustDeliver(t, s, accounts[3].Email, "4\r\n")
		if got := s.TenantStats("contoso.example"); got.Recipients != 1 || got.Beyond != 1 {
			t.Errorf("a day later: %+v", got)
		}
	}
	for _, cfg := range []Config{
		{Tenants: []Tenant{{Name: "contoso.example"}}},
		{Tenants: []Tenant{{ExternalRecipients: 1}}},
		{Tenants: []Tenant{{Name: "a", ExternalRecipients: 1}, {Name: "a", ExternalRecipients: 1}}},
		{Accounts: []Account{{Email: "a@b.test", Tenant: "contoso.example"}}},
	} {
		if s, err := New(cfg); err == nil {
			s.Close()
			t.Errorf("%+v was taken", cfg)
		}
	}
}
