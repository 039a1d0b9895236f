package upstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
)

// TestRefusalLeavesTheAccount: of a recipient or a message alone, or by a provider
// that means nothing else by it.
func TestRefusalLeavesTheAccount(t *testing.T) {
	const gmail, outlook = 0, 1
	rcpt, content := sandbox.PhaseRcpt, sandbox.PhaseAfterEOD
	tests := []struct {
		whose int
		at    sandbox.Phase
		reply string
	}{
		{outlook, rcpt, "550 5.7.501 spam abuse"},
		{outlook, rcpt, "550 5.7.504 recipient"},
		{outlook, rcpt, "550 5.7.505 banned recipient"},
		{outlook, rcpt, "550 5.7.507 rejected by recipient"},
		{outlook, rcpt, "550 5.2.255 invalid recipients"},
		{outlook, rcpt, "550 5.1.8 sender domain not found"},
		{outlook, content, "550 5.7.506 bad HELO"},
		{outlook, content, "550 5.7.508 range"},
		{outlook, content, "550 5.7.509 fails DMARC"},
		{outlook, content, "550 5.7.750 unregistered domain"},
		{gmail, content, "550 5.1.8 sender domain not found"},
		{gmail, content, "554 5.2.2 mailbox full"},
		{gmail, content, "550 5.2.251 full"},
		{gmail, content, "554 5.2.0 SubmissionQuotaExceeded"},
		{outlook, content, "550 5.4.5 congestion"},
		{outlook, rcpt, "450 4.7.1 greylisted"},
		{gmail, rcpt, "451 4.7.1 greylisted"},
		{gmail, rcpt, "421 4.2.1 the recipient gets mail too fast"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d %s at %s", tt.whose, tt.reply, tt.at), func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(s *setup) { s.relay.ThrottleRecovery = time.Hour })
			f.accounts[0], f.accounts[1] = f.accounts[tt.whose], f.accounts[1-tt.whose] // for dialog
			a := f.accounts[0]
			rule := sandbox.Rule{Phase: tt.at, Action: sandbox.ActionReply, Reply: tt.reply, Times: 1}
			rcpts := []string{"a@x.test", "b@x.test", "c@x.test"}
			if tt.at == rcpt {
				rule.Recipient = rcpts[1]
			}
			provider.Faults(f.t, f.box, rule)
			told, final := dialog(f, [][]string{rcpts}, "a\r\n")
			switch want, _, _ := strings.Cut(tt.reply[4:], " "); {
			case tt.at == content, tt.reply[:3] == "421":
				if code(final) != tt.reply[:4]+want {
					t.Errorf("told %v, %v", told, final)
				}
			case code(told[1]) != tt.reply[:4]+want || final.Code != 250:
				t.Errorf("told %v, %v", told, final)
			}
			f.until(func() bool { st := f.state(a); return st.Open == st.Parked })
			f.sendOK(a, "next\r\n")
			if st, _ := f.relay.Standing(a.ID); st != nil && (st.Stopped != "" || st.Connections != 0) {
				t.Errorf("standing %+v", st)
			}
		})
	}
}
