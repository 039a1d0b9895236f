package fault

import (
	"context"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		want string
		rule Rule
	}{
		{"phase:", Rule{Phase: "nowhere", Action: ActionClose}},
		{"action:", Rule{Phase: PhaseMail, Action: ActionRevoke}},
		{"reply:", Rule{Phase: PhaseMail, Action: ActionReply, Reply: "hello"}},
		{"drop-keyword:", Rule{Phase: PhaseMail, Action: ActionDropKeyword}},
		{"wrong-certificate", Rule{Phase: PhaseTLS, Action: ActionWrongCertificate}},
		{"per:", Rule{Phase: PhaseMail, Action: ActionClose, Per: "moon"}},
		{"secure:", Rule{Phase: PhaseMail, Action: ActionClose, Secure: "maybe"}},
		{"negative", Rule{Phase: PhaseMail, Action: ActionClose, Nth: -1}},
		{"verb: ", Rule{Phase: PhaseMail, Action: ActionClose, Verb: "MAIL"}},
		{`verb: "bdat"`, Rule{Phase: PhaseCommand, Action: ActionClose, Verb: "bdat"}},
		{`then: "stall"`, Rule{Phase: PhaseMail, Action: ActionPass, Then: ActionStall}},
		{`then: "close"`, Rule{Phase: PhaseTLS, Action: ActionPass, Then: ActionClose}},
		{"for phase token", Rule{Phase: PhaseMail, Action: ActionPass, BOM: true}},
		{"negative", Rule{Phase: PhaseMail, Action: ActionPass, Since: -1}},
		{`"alter" is unknown`, Rule{Phase: PhaseMail, Action: ActionAlter}},
		{`"pass" is unknown`, Rule{Phase: PhaseToken, Action: ActionPass}},
	} {
		if err := tt.rule.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.rule, err, tt.want)
		}
	}
}

func TestReplyCode(t *testing.T) {
	for reply, want := range map[string]int{"250": 250, "421 4.3.2 x": 421, "": 0, "25": 0, "2500": 0, "250-x": 0, "+25 x": 0, "2_5": 0, "abc": 0} {
		if got := ReplyCode(reply); got != want {
			t.Errorf("%q: %d, want %d", reply, got, want)
		}
	}
}

// TestCounting has two accounts and two connections take turns at one rule.
func TestCounting(t *testing.T) {
	tests := []struct {
		name string
		rule Rule
		want string // of eight events: x where the rule strikes
	}{
		{"all", Rule{}, "xxxxxxxx"},
		{"nth", Rule{Nth: 3}, "..x....."},
		{"every", Rule{Every: 3}, "..x..x.."},
		{"since", Rule{Since: 7}, "......xx"},
		{"times", Rule{Times: 2}, "xx......"},
		{"per account", Rule{Nth: 2, Per: "account"}, "..xx...."},
		{"per connection", Rule{Since: 4, Per: "connection"}, "......xx"},
		{"connection since the script was set", Rule{Connection: 2}, ".x.x.x.x"},
		{"account", Rule{Account: "*@B.test"}, ".x.x.x.x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s Script
			tt.rule.Name, tt.rule.Phase, tt.rule.Action = "f", PhaseMail, ActionClose
			if err := s.Set([]Rule{tt.rule}, 5); err != nil {
				t.Fatal(err)
			}
			accounts, conns := []string{"a@a.test", "b@b.test"}, []map[*Fault]int64{{}, {}}
			got := ""
			for i := range 8 {
				if s.Take(&Event{Phase: PhaseMail, Account: accounts[i%2], Conn: uint64(6 + i%2), PerConn: conns[i%2]}) != nil {
					got += "x"
				} else {
					got += "."
				}
			}
			if got != tt.want {
				t.Errorf("strikes %s, want %s", got, tt.want)
			}
			if n := s.Fired("f"); n != int64(strings.Count(tt.want, "x")) {
				t.Errorf("fired %d times", n)
			}
		})
	}
}

// TestUntake has a rule that may strike once, and whose first moment passed.
func TestUntake(t *testing.T) {
	var s Script
	if s.Active() || s.Take(&Event{Phase: PhaseIdle}) != nil {
		t.Error("an empty script strikes")
	}
	if err := s.Set([]Rule{{Phase: PhaseIdle, Action: ActionClose, Times: 1}}, 0); err != nil || !s.Active() {
		t.Fatal(err)
	}
	s.Take(&Event{Phase: PhaseIdle}).Untake()
	if f := s.Take(&Event{Phase: PhaseIdle}); f == nil || f.Name != "idle/close#0" {
		t.Errorf("%+v, want the rule again", f)
	}
	if err := s.WaitFired(t.Context(), "idle/close#0", 1); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.WaitFired(ctx, "idle/close#0", 2); err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Error(err)
	}
	if err := s.Set([]Rule{{}}, 0); err == nil || !strings.HasPrefix(err.Error(), "rule 0: ") {
		t.Error(err)
	}
	s.ClearFaults()
	if s.Active() || s.Faults() != nil {
		t.Error("the script was not cleared")
	}
}
