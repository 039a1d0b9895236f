package upstream

import (
	"io"
	"testing"

	"xoauth2-proxy/codec"
)

func TestMayRetry(t *testing.T) {
	idle := codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 4, 2}}
	busy := codec.Reply{Code: 421, Enhanced: codec.EnhancedCode{4, 7, 0}}
	tests := []struct {
		name string
		a    attempt
		want bool
	}{
		{"lost at MAIL", attempt{phase: PhaseMail, lost: true, err: io.EOF}, true},
		{"lost before 354, envelope accepted", attempt{phase: PhaseData, lost: true, err: io.EOF}, true},
		{"lost amid content, its end not sent", attempt{phase: PhaseContent, lost: true, err: io.EOF}, true},
		{"lost, end of content may have left", attempt{phase: PhaseFinal, lost: true, err: io.EOF, left: true}, false},
		{"lost before any reply, but all in one flight", attempt{phase: PhaseMail, lost: true, err: io.EOF, left: true, reused: true}, false},
		{"lost a second time", attempt{phase: PhaseMail, lost: true, err: io.EOF, retried: true}, false},
		{"lost, the client was told of recipients", attempt{phase: PhaseRcpt, lost: true, err: io.EOF, told: true}, false},
		{"refused", attempt{phase: PhaseRcpt, reply: codec.Reply{Code: 550}}, false},
		{"accepted", attempt{phase: PhaseFinal, reply: codec.Reply{Code: 250}, left: true}, false},
		{"garbage", attempt{phase: PhaseMail, lost: true, err: ErrProtocol}, false},
		{"421 of an idle timeout crossed MAIL", attempt{phase: PhaseMail, lost: true, reply: idle, reused: true}, true},
		{"421 of an idle timeout, but all was sent", attempt{phase: PhaseMail, lost: true, reply: idle, reused: true, left: true}, false},
		{"421 without enhanced code", attempt{phase: PhaseMail, lost: true, reply: codec.Reply{Code: 421}, reused: true}, true},
		{"421 on a new connection", attempt{phase: PhaseMail, lost: true, reply: idle}, false},
		{"421 that throttles", attempt{phase: PhaseMail, lost: true, reply: busy, reused: true}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.a.mayRetry(); got != tt.want {
				t.Errorf("mayRetry() = %v, want %v", got, tt.want)
			}
		})
	}
}
