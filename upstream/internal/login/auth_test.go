package login

import (
	"testing"

	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/upstream/internal/smtpclient"

	"go.uber.org/zap"
)

func TestFormFor(t *testing.T) {
	for _, tt := range []struct {
		setting account.InitialResponse
		line    int
		want    smtpclient.AuthForm
	}{
		{"", 511, smtpclient.FormInitial}, {"", 512, smtpclient.FormInitial}, {"", 513, smtpclient.FormAlone},
		{account.InitialResponseAuto, 511, smtpclient.FormInitial}, {account.InitialResponseAuto, 512, smtpclient.FormInitial},
		{account.InitialResponseAuto, 513, smtpclient.FormAlone}, {account.InitialResponseAuto, 12000, smtpclient.FormAlone},
		{account.InitialResponseAlways, 100, smtpclient.FormInitial}, {account.InitialResponseAlways, 12000, smtpclient.FormInitial},
		{account.InitialResponseNever, 100, smtpclient.FormAlone}, {account.InitialResponseNever, 12000, smtpclient.FormAlone},
	} {
		fits := smtpclient.Fits("XOAUTH2", make([]byte, tt.line-len("AUTH XOAUTH2 \r\n")))
		if got := formFor(tt.setting, fits); got != tt.want {
			t.Errorf("%q, %d octets: %v", tt.setting, tt.line, got)
		}
	}
}

func TestFormsAreOfAnEndpoint(t *testing.T) {
	var f authForms
	a, b := account.Endpoint{Host: "a", Port: 587}, account.Endpoint{Host: "a", Port: 465}
	f.learn(a, smtpclient.FormAlone, zap.NewNop())
	if f.of(a) != smtpclient.FormAlone || f.of(b) != 0 {
		t.Errorf("%v, %v", f.of(a), f.of(b))
	}
	f.learn(a, smtpclient.FormInitial, zap.NewNop())
	if f.of(a) != smtpclient.FormInitial {
		t.Error("what was learned last does not hold")
	}
}
