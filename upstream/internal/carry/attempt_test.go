package carry

import (
	"io"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/failure"
	"xoauth2-proxy/upstream/internal/smtpclient"
	"xoauth2-proxy/upstream/internal/throttle"
)

func TestMayRetry(t *testing.T) {
	idle := codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 4, 2}}
	used := codec.Reply{Code: 452, Enhanced: codec.EnhancedCode{4, 4, 5}}
	busy := codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 0}}
	tests := []struct {
		name string
		a    attempt
		x    smtpclient.Exchange
		want bool
	}{
		{"lost at MAIL", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Err: io.EOF}, true},
		{"lost before 354, envelope accepted", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseData, Lost: true, Err: io.EOF}, true},
		{"lost amid content, its end not sent", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseContent, Lost: true, Err: io.EOF}, true},
		{"lost, end of content may have left", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Lost: true, Err: io.EOF, Left: true}, false},
		{"lost before any reply, but all in one flight", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Err: io.EOF, Left: true}, false},
		{"lost a second time", attempt{retried: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Err: io.EOF}, false},
		{"lost, the client was told of recipients", attempt{told: true}, smtpclient.Exchange{Phase: throttle.PhaseRcpt, Lost: true, Err: io.EOF}, true},
		{"refused", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseRcpt, Reply: codec.Reply{Code: 550}}, false},
		{"accepted", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: codec.Reply{Code: 250}, Left: true}, false},
		{"garbage", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Err: failure.ErrProtocol}, false},
		{"421 of an idle timeout crossed MAIL", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Reply: idle}, true},
		{"421 of an idle timeout, but all was sent", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Reply: idle, Left: true}, true},
		{"452 of a used-up connection to the content", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: used, Left: true}, true},
		{"the same, a second time", attempt{reused: true, retried: true}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: used, Left: true}, false},
		{"the same, on a new connection", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: used, Left: true}, false},
		{"a reply of ours", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Reply: used, Own: true}, false},
		{"421 to a recipient that was accepted before", attempt{reused: true, told: true},
			smtpclient.Exchange{Phase: throttle.PhaseRcpt, Reply: codec.Reply{Code: 451}, Own: true, Revoked: idle, Lost: true}, true},
		{"out of step", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Err: failure.ErrProtocol, Left: true}, false},
		{"BDAT refused", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: codec.Reply{Code: 502}, Left: true, NoBDAT: true, Lost: true}, true},
		{"BDAT refused, after another try", attempt{retried: true}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Reply: codec.Reply{Code: 502}, Left: true, NoBDAT: true, Lost: true}, true},
		{"MAIL refused, and BDAT", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseMail, Reply: codec.Reply{Code: 550}, Left: true, NoBDAT: true, Lost: true}, false},
		{"BDAT refused, and something accepted", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseFinal, Err: failure.ErrProtocol, Left: true, NoBDAT: true, Lost: true}, false},
		{"421 without enhanced code", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Reply: codec.Reply{Code: 421}}, true},
		{"421 on a new connection", attempt{}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Reply: idle}, false},
		{"421 that throttles", attempt{reused: true}, smtpclient.Exchange{Phase: throttle.PhaseMail, Lost: true, Reply: busy}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.x.Keep = true
			if got := tt.a.mayRetry(&tt.x); got != tt.want {
				t.Errorf("mayRetry() = %v, want %v", got, tt.want)
			}
			if tt.x.Keep = false; tt.x.Left && tt.a.mayRetry(&tt.x) {
				t.Error("mayRetry() without the content")
			}
		})
	}
}
