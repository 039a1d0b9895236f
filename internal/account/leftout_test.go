package account

import (
	"errors"
	"testing"
)

// accountsOf returns a snapshot of accounts with these ids and emails, in pairs.
func accountsOf(t *testing.T, names ...string) *Snapshot {
	t.Helper()
	var all []*Account
	for i := 0; i < len(names); i += 2 {
		flow := FlowRefreshToken
		if names[i+1][0] == '*' {
			flow = FlowClientCredentials
		}
		all = append(all, &Account{ID: names[i], Email: names[i+1], Flow: flow})
	}
	s, err := NewSnapshot(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestKeeping has accounts whose entries are wrong by now, under names that moved.
func TestKeeping(t *testing.T) {
	wrong := errors.New("wrong")
	old := accountsOf(t, "a", "a@example.com", "b", "b@example.com", "c", "*@example.org")
	for _, tt := range []struct {
		name    string
		now     *Snapshot
		leftOut []LeftOut
		logins  map[string]string // login to the id of its account, "": left out, "-": unknown
	}{
		{"its email", accountsOf(t, "b", "b@example.com"), []LeftOut{{Email: "A@example.com", Err: wrong}},
			map[string]string{"a@example.com": "a", "b@example.com": "b", "x@example.org": "-"}},
		{"its account_id", accountsOf(t, "b", "b@example.com"), []LeftOut{{ID: "a", Email: "new@example.com", Err: wrong}},
			map[string]string{"a@example.com": "a", "new@example.com": ""}},
		{"both of a pair of twins", accountsOf(t, "b", "b@example.com"), []LeftOut{{ID: "a", Email: "a@example.com", Err: wrong}, {ID: "z", Email: "a@example.com", Err: wrong}},
			map[string]string{"a@example.com": "a"}},
		{"the email went to another", accountsOf(t, "b", "a@example.com"), []LeftOut{{ID: "a", Email: "c@example.com", Err: wrong}},
			map[string]string{"a@example.com": "b", "c@example.com": ""}},
		{"the account_id went to another", accountsOf(t, "a", "b@example.com"), []LeftOut{{Email: "a@example.com", Err: wrong}},
			map[string]string{"a@example.com": "", "b@example.com": "a"}},
		{"a new one", old, []LeftOut{{ID: "n", Email: "n@example.com", Err: wrong}}, map[string]string{"n@example.com": "", "N@Example.com": "", "o@example.com": "-"}},
		{"without a name", old, []LeftOut{{Err: wrong}}, map[string]string{"n@example.com": "-", "a@example.com": "a"}},
		{"a mailbox of a catch-all account", old, []LeftOut{{Email: "x@example.org", Err: wrong}}, map[string]string{"x@example.org": "", "y@example.org": "c/y@example.org"}},
		{"a new catch-all account", old, []LeftOut{{Email: "*@example.net", Err: wrong}}, map[string]string{"x@example.net": "", "x@example.com": "-"}},
		{"a catch-all account", accountsOf(t, "a", "a@example.com"), []LeftOut{{ID: "c", Email: "*@example.org", Err: wrong}}, map[string]string{"x@example.org": "c/x@example.org"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.now.LeavingOut(tt.leftOut).Keeping(old)
			if len(s.LeftOut()) != len(tt.leftOut) {
				t.Fatalf("%d entries are left out", len(s.LeftOut()))
			}
			for login, want := range tt.logins {
				got := "-"
				switch a, ok := s.ByLogin([]byte(login)); {
				case ok:
					got = a.ID
				case s.IsLeftOut([]byte(login)):
					got = ""
				}
				if got != want {
					t.Errorf("%s is %q, want %q", login, got, want)
				}
			}
			for _, e := range s.LeftOut() {
				if _, in := s.ByLogin([]byte(e.Email)); e.Kept && !in && tt.logins[e.Email] != "" {
					t.Errorf("%+v says that it is in force", e)
				}
			}
		})
	}
}

// TestReusingWithLeftOut: a snapshot with other wrong entries is another one, with the
// same accounts.
func TestReusingWithLeftOut(t *testing.T) {
	old := accountsOf(t, "a", "a@example.com")
	entries := []LeftOut{{Email: "w@example.com", Err: errors.New("wrong")}}
	again := accountsOf(t, "a", "a@example.com").LeavingOut(entries).Reusing(old)
	if again == old || len(again.LeftOut()) != 1 || again.All()[0] != old.All()[0] || !again.IsLeftOut([]byte("w@example.com")) {
		t.Errorf("%+v", again)
	}
	if once := accountsOf(t, "a", "a@example.com").LeavingOut(entries).Reusing(again); once != again {
		t.Error("another snapshot, though nothing changed")
	}
	if mended := accountsOf(t, "a", "a@example.com").Reusing(again); len(mended.LeftOut()) != 0 || mended.All()[0] != old.All()[0] {
		t.Errorf("%+v", mended)
	}
}
