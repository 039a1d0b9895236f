package failure

import (
	"errors"
	"io"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/upstream/internal/throttle"
)

func parsed(t *testing.T, line string) codec.Reply {
	t.Helper()
	r, _, err := codec.ParseReply([]byte(line + "\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestErrorAsRefusal: what is no word of the provider on the account is none for its
// throttle.
func TestErrorAsRefusal(t *testing.T) {
	full := parsed(t, "550 5.2.251 mailbox full")
	held := &Error{Phase: throttle.PhaseFinal, Reply: full, Err: ErrRefused, Provider: throttle.ProviderMicrosoft}
	if got := held.Refusal(); got == nil || *got != (throttle.Refusal{Phase: throttle.PhaseFinal, Account: throttle.AccountHold, Reason: "550 5.2.251 mailbox full"}) {
		t.Errorf("%+v", got)
	}
	for name, err := range map[string]*Error{
		"no connection":              {Phase: throttle.PhaseConnect, Err: io.EOF},
		"no token":                   {Phase: throttle.PhaseToken, Err: errors.New("no")},
		"no answer":                  {Phase: throttle.PhaseFinal, Err: io.EOF},
		"not understood":             {Phase: throttle.PhaseMail, Reply: parsed(t, "250 what"), Err: ErrProtocol},
		"the provider was not asked": {Phase: throttle.PhaseMail, Reply: parsed(t, "552 5.3.4 too big"), Err: ErrRefused, Own: true},
		"given up by the client":     nil,
	} {
		if got := err.Refusal(); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
