package upstream

import (
	"testing"

	"xoauth2-proxy/codec"
)

func TestJudge(t *testing.T) {
	tests := []struct {
		reply string
		phase Phase
		want  verdict
	}{
		{"250 2.0.0 ok", PhaseFinal, verdictNone},
		{"421 4.3.2 try later", PhaseMail, verdictSlow},
		{"421 4.7.0 too fast", PhaseData, verdictSlow},
		{"421 busy", PhaseMail, verdictSlow},
		{"421 4.4.2 timeout", PhaseMail, verdictNone},
		{"432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", PhaseData, verdictSlow},
		{"450 4.7.1 slow down", PhaseMail, verdictSlow},
		{"451 4.7.500 server busy", PhaseFinal, verdictSlow},
		{"454 4.7.0 too many logins", PhaseAuth, verdictSlow},
		{"450 4.2.1 the user receives mail too fast", PhaseRcpt, verdictNone},
		{"451 4.3.0 later", PhaseFinal, verdictNone},
		{"452 4.5.3 too many recipients", PhaseRcpt, verdictNone},
		{"550 5.4.5 Daily user sending limit exceeded", PhaseFinal, verdictQuota},
		{"554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; x", PhaseFinal, verdictQuota},
		{"554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException.x", PhaseFinal, verdictNone},
		{"550 5.2.251 full", PhaseFinal, verdictHarm},
		{"550 5.2.255 invalid recipients", PhaseRcpt, verdictHarm},
		{"550 5.2.250 other", PhaseRcpt, verdictNone},
		{"554 5.2.252 SendAsDenied", PhaseFinal, verdictNone},
		{"554 5.2.2 mailbox full", PhaseFinal, verdictHarm},
		{"554 5.2.2 mailbox full", PhaseRcpt, verdictNone},
		{"550 5.1.8 Access denied, bad outbound sender", PhaseFinal, verdictHarm},
		{"550 5.7.501 Access denied, spam abuse detected", PhaseMail, verdictHarm},
		{"535 5.7.139 SmtpClientAuthentication is disabled", PhaseAuth, verdictHarm},
		{"535 5.7.3 Authentication unsuccessful", PhaseAuth, verdictNone},
		{"550 5.1.1 no such user", PhaseRcpt, verdictNone},
		{"550 5.7.1 policy", PhaseFinal, verdictNone},
	}
	for _, tt := range tests {
		r, _, err := codec.ParseReply([]byte(tt.reply + "\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := judge(&Error{Phase: tt.phase, Reply: r, Err: ErrRefused}); got != tt.want {
			t.Errorf("%s at %v: verdict %d, want %d", tt.reply, tt.phase, got, tt.want)
		}
	}
}
