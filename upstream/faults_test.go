package upstream

import (
	"errors"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/sandbox"
	"xoauth2-proxy/internal/testkit/provider"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/throttle"
)

// code returns reply code and enhanced code, as "451 4.4.2".
func code(r codec.Reply) string {
	r.Text = ""
	return r.String()
}

// TestConnectionFailures: what the client is told for each way in which a
// connection cannot be had, and that the next message goes through.
func TestConnectionFailures(t *testing.T) {
	tests := []struct {
		name  string
		rule  sandbox.Rule
		want  string
		phase Phase
	}{
		{"closed at connect", sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionClose}, "451 4.4.1", throttle.PhaseGreeting},
		{"reset at connect", sandbox.Rule{Phase: sandbox.PhaseConnect, Action: sandbox.ActionReset}, "451 4.4.1", throttle.PhaseQueue}, // throttle.PhaseConnect or throttle.PhaseGreeting
		{"greeting 554", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionReply, Reply: "554 no"}, "451 4.4.1", throttle.PhaseGreeting},
		{"greeting 421", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionReply, Reply: "421 4.3.2 busy"}, "451 4.4.1", throttle.PhaseGreeting},
		{"greeting is garbage", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionGarbage}, "451 4.5.0", throttle.PhaseGreeting},
		{"greeting is huge", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionHuge}, "451 4.5.0", throttle.PhaseGreeting},
		{"greeting does not come", sandbox.Rule{Phase: sandbox.PhaseBanner, Action: sandbox.ActionStall}, "451 4.4.1", throttle.PhaseGreeting},
		{"EHLO refused", sandbox.Rule{Phase: sandbox.PhaseEHLO, Action: sandbox.ActionReply, Reply: "550 5.7.1 no"}, "451 4.4.1", throttle.PhaseEHLO},
		{"no STARTTLS", sandbox.Rule{Phase: sandbox.PhaseEHLO, Action: sandbox.ActionDropKeyword, Keyword: "STARTTLS"}, "451 4.5.0", throttle.PhaseTLS},
		{"STARTTLS refused", sandbox.Rule{Phase: sandbox.PhaseStartTLS, Action: sandbox.ActionReply, Reply: "454 4.7.0 not now"}, "451 4.7.5", throttle.PhaseTLS},
		{"closed amid the TLS handshake", sandbox.Rule{Phase: sandbox.PhaseTLS, Action: sandbox.ActionCut}, "451 4.7.5", throttle.PhaseTLS},
		{"certificate of another name", sandbox.Rule{Phase: sandbox.PhaseTLS, Action: sandbox.ActionWrongCertificate, Certificate: sandbox.CertificateOtherName}, "451 4.7.5", throttle.PhaseTLS},
		{"certificate of another CA", sandbox.Rule{Phase: sandbox.PhaseTLS, Action: sandbox.ActionWrongCertificate, Certificate: sandbox.CertificateOtherCA}, "451 4.7.5", throttle.PhaseTLS},
		{"certificate has expired", sandbox.Rule{Phase: sandbox.PhaseTLS, Action: sandbox.ActionWrongCertificate, Certificate: sandbox.CertificateExpired}, "451 4.7.5", throttle.PhaseTLS},
		{"no XOAUTH2", sandbox.Rule{Phase: sandbox.PhaseEHLO, Secure: "tls", Action: sandbox.ActionDropKeyword, Keyword: "XOAUTH2"}, "451 4.5.0", throttle.PhaseAuth},
		{"AUTH 454", sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "454 4.7.0 too many logins"}, "454 4.7.0", throttle.PhaseAuth},
		{"AUTH 535, set-up", sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionReply, Reply: "535 5.7.139 SmtpClientAuthentication is disabled"}, "451 4.7.0", throttle.PhaseAuth},
		{"closed at AUTH", sandbox.Rule{Phase: sandbox.PhaseAuth, Action: sandbox.ActionClose}, "451 4.4.1", throttle.PhaseAuth},
		{"token endpoint is down", sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionReply, Status: 503}, "454 4.7.0", throttle.PhaseToken},
		{"grant is revoked", sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionInvalidGrant}, "451 4.7.0", throttle.PhaseToken},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(s *setup) {
				if tt.rule.Action == sandbox.ActionStall {
					s.relay.GreetingTimeout = 100 * time.Millisecond
				}
			})
			a, neighbour := f.accounts[0], f.accounts[1]
			setUp := strings.Contains(tt.rule.Reply, "5.7.139")
			if setUp { // with Microsoft an administrator must act
				a, neighbour = neighbour, a
			}
			provider.Faults(f.t, f.box, tt.rule)
			res := f.send(a, "to@example.com", "a\r\n")
			if code(res.Reply) != tt.want || tt.phase != throttle.PhaseQueue && res.Phase != tt.phase {
				t.Errorf("reply %v at %v, want %s at %v", res.Reply, res.Phase, tt.want, tt.phase)
			}
			if res.Err == nil || res.Err.MaybeAccepted() {
				t.Errorf("error %v", res.Err)
			}
			for _, secret := range []string{a.RefreshToken.Reveal(), f.accounts[0].ClientSecret.Reveal(), "Bearer", "user="} {
				if strings.Contains(res.Reply.Text+res.Err.Error(), secret) {
					t.Errorf("reply or error shows %q", secret)
				}
			}
			provider.Messages(f.t, f.box, 0)
			f.box.ClearFaults()
			f.sendOK(neighbour, "b\r\n")
			if provider.Messages(f.t, f.box, 1); tt.phase == throttle.PhaseToken {
				return // whose memory is the token source's
			}
			if setUp {
				f.refusedFor(a, "451 4.7.0", "held until an operator acts", tt.rule.Reply)
				f.relay.ReleaseHold(a.ID)
			}
			f.eventually(a)
		})
	}
}

// TestTransactionFaults: for each way of sending and each fault in a
// transaction on a connection that was used before, what the client is told and
// how often the message arrives.
func TestTransactionFaults(t *testing.T) {
	type want struct {
		code    string // "250": retried with success
		arrived int
		maybe   bool
		retries string
	}
	unknown := want{code: "451 4.4.2", maybe: true, retries: "0"}
	retried := want{code: "250 2.0.0", arrived: 1, retries: "1"}
	tests := []struct {
		name       string
		rule       sandbox.Rule
		bdat, data want // in one flight; with DATA, whose content is not sent before 354
	}{
		{"closed at MAIL", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionClose}, unknown, retried},
		{"reset at MAIL", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReset}, unknown, retried},
		{"silent at MAIL", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionStall}, unknown, retried},
		{"closed at RCPT", sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionClose}, unknown, retried},
		{"closed at DATA", sandbox.Rule{Phase: sandbox.PhaseData, Action: sandbox.ActionClose}, unknown, retried},
		{"closed after the content", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionClose}, unknown, unknown},
		{"reset after the content", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReset}, unknown, unknown},
		{"silent after the content", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionStall}, unknown, unknown},
		{"accepted, then closed without reply", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionAcceptThenClose},
			want{code: "451 4.4.2", arrived: 1, maybe: true, retries: "0"}, want{code: "451 4.4.2", arrived: 1, maybe: true, retries: "0"}},
		{"garbage for the final reply", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionGarbage},
			want{code: "451 4.5.0", maybe: true, retries: "0"}, want{code: "451 4.5.0", maybe: true, retries: "0"}},
		{"slow final reply", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionSlow, Interval: sandbox.Duration(time.Millisecond)},
			want{code: "250 2.0.0", arrived: 1, retries: "0"}, want{code: "250 2.0.0", arrived: 1, retries: "0"}},
		{"MAIL refused", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "550 5.7.60 no"},
			want{code: "550 5.7.60", retries: "0"}, want{code: "550 5.7.60", retries: "0"}},
		{"MAIL deferred", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "451 4.3.0 no"},
			want{code: "451 4.3.0", retries: "0"}, want{code: "451 4.3.0", retries: "0"}},
		{"RCPT refused", sandbox.Rule{Phase: sandbox.PhaseRcpt, Action: sandbox.ActionReply, Reply: "550 5.1.1 no"},
			want{code: "550 5.1.1", retries: "0"}, want{code: "550 5.1.1", retries: "0"}},
		{"DATA refused", sandbox.Rule{Phase: sandbox.PhaseData, Action: sandbox.ActionReply, Reply: "432 4.3.2 slower"},
			want{code: "432 4.3.2", retries: "0"}, want{code: "432 4.3.2", retries: "0"}},
		{"content refused", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "554 5.2.0 quota"},
			want{code: "554 5.2.0", retries: "0"}, want{code: "554 5.2.0", retries: "0"}},
		{"421 at MAIL", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "421 4.7.0 throttled"},
			want{code: "421 4.7.0", retries: "0"}, want{code: "421 4.7.0", retries: "0"}},
		{"421 of an idle timeout", sandbox.Rule{Phase: sandbox.PhaseMail, Action: sandbox.ActionReply, Reply: "421 4.4.2 idle"}, retried, retried},
		{"421 of a used-up connection after the content", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "421 bye"}, retried, retried},
		{"421 after the content", sandbox.Rule{Phase: sandbox.PhaseAfterEOD, Action: sandbox.ActionReply, Reply: "421 4.3.0 later"},
			want{code: "421 4.3.0", retries: "0"}, want{code: "421 4.3.0", retries: "0"}},
	}
	for _, offer := range offers {
		for _, tt := range tests {
			t.Run(offer.name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t, func(s *setup) {
					s.keywords = offer.keywords
					if tt.rule.Action == sandbox.ActionStall {
						s.relay.CommandTimeout, s.relay.DataTimeout = time.Second, time.Second
						s.relay.FinalTimeout = time.Second
					}
				})
				f.sendOK(f.accounts[0], "first\r\n")
				want := tt.data
				if offer.name == "BDAT in one flight" {
					want = tt.bdat
				}
				if offer.name == "BDAT step by step" && tt.name == "closed at DATA" {
					want = unknown // that is at BDAT, behind the content
				}
				tt.rule.Times = 1
				provider.Faults(f.t, f.box, tt.rule)
				res := f.send(f.accounts[0], "to@example.com", "second\r\n")
				if code(res.Reply) != want.code {
					t.Errorf("reply %v, want %s", res.Reply, want.code)
				}
				if maybe := res.Err != nil && res.Err.MaybeAccepted(); maybe != want.maybe {
					t.Errorf("MaybeAccepted() = %v, error %v", maybe, res.Err)
				}
				if n := f.metric("upstream_retries_total"); n != want.retries {
					t.Errorf("%s retries, want %s", n, want.retries)
				}
				f.sendOK(f.accounts[0], "third\r\n")
				f.sendOK(f.accounts[1], "neighbour\r\n")
				provider.Messages(f.t, f.box, 3+want.arrived)
				provider.NoViolations(f.t, f.box)
			})
		}
	}
}

func TestRefusedTokenIsReplacedOnce(t *testing.T) {
	f := newFixture(t, func(s *setup) { s.limits.MaxMessagesPerConnection = 1 })
	f.sendOK(f.accounts[0], "a\r\n")
	f.box.ExpireTokens(f.accounts[0].Email) // the cache does not know
	f.sendOK(f.accounts[0], "b\r\n")
	provider.Messages(f.t, f.box, 2)
	if s := f.box.Stats(); s.LoginFailures != 1 || s.TokensIssued != 2 {
		t.Errorf("%d refused logins, %d tokens; want 1 and 2", s.LoginFailures, s.TokensIssued)
	}
	provider.NoViolations(f.t, f.box)
}

func TestRefusedFreshTokenIsNotRepeated(t *testing.T) {
	f := newFixture(t, nil)
	provider.Faults(f.t, f.box, sandbox.Rule{Phase: sandbox.PhaseToken, Action: sandbox.ActionWrongScope})
	res := f.send(f.accounts[0], "to@example.com", "a\r\n")
	if code(res.Reply) != "451 4.7.0" || !errors.Is(res.Err, failure.ErrRefused) || res.Err.Reply.Code != 535 {
		t.Errorf("reply %v, error %v", res.Reply, res.Err)
	}
	if !strings.Contains(res.Err.Error(), "status 40") {
		t.Errorf("error %q lacks the status of the challenge", res.Err)
	}
	if n := f.box.Stats().LoginFailures; n != 1 {
		t.Errorf("%d logins with a token fresh from the endpoint, want 1", n)
	}
	provider.NoViolations(f.t, f.box)
}
