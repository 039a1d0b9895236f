package consent

import (
	"errors"
	"strings"
	"testing"

	"xoauth2-proxy/oauth"
	"xoauth2-proxy/oauth/internal/tokentest"
)

// TestReadPasted has what people paste: %s is the state of the request.
func TestReadPasted(t *testing.T) {
	const google, microsoft = "4/0AfgeXv-code_x", "M.C507_BL2.2.U.code!*$"
	tests := []struct{ pasted, code string }{
		{"http://localhost:1234/?state=%s&code=4/0AfgeXv-code_x&scope=https://mail.google.com/", google},
		{"http://localhost:1234/?state=%s&code=4%2F0AfgeXv-code_x", google},
		{"localhost:1234/?state=%s&code=4%2F0AfgeXv-code_x", google},
		{"127.0.0.1:1234?code=4%2F0AfgeXv-code_x&state=%s", google},
		{"https://mail.example.com/back?code=4%2F0AfgeXv-code_x&state=%s#", google},
		{"https://mail.example.com/back#code=4%2F0AfgeXv-code_x&state=%s", google},
		{"http://localhost/?state=%s&amp;code=4%2F0AfgeXv-code_x", google},
		{"?code=4%2F0AfgeXv-code_x&state=%s", google},
		{"?code=4%2F0AfgeXv-code_x", google},
		{"code=4%2F0AfgeXv-code_x", google},
		{"code=4%2F0AfgeXv-code_x&state=%s", google},
		{"4%2F0AfgeXv-code_x", google},
		{"4%2f0AfgeXv-code_x", google},
		{google, google},
		{google + "#", google},
		{microsoft, microsoft},
		{"http://localhost/?code=M.C507_BL2.2.U.code!*$&state=%s", microsoft},
		{"dGhlIGNvZGU=", "dGhlIGNvZGU="},
		{"a+code+with/plus", "a+code+with/plus"},
		{"  \t" + google + "\r\n", google},
		{`"` + google + `"`, google},
		{"'" + google + "'", google},
		{"\u201c" + google + "\u201d", google},
		{"`" + google + "`", google},
		{"<http://localhost:1234/?state=%s&code=4%2F0AfgeXv-code_x>", google},
		{"(http://localhost:1234/?state=%s&code=4%2F0AfgeXv-code_x)", google},
		{"[code=4%2F0AfgeXv-code_x]", google},
		{"\ufeff" + google + "\u200b", google},
		// No answers.
		{"", ""},
		{" ", ""},
		{"I do not know", ""},
		{"yes", ""},
		{"http://localhost:1234/", ""},
		{"http://localhost:1234/?state=%s", ""},
		{"http://localhost:1234/?state=%s&code=", ""},
		{"http://localhost:1234/?state=other&code=4%2F0AfgeXv-code_x", ""},
		{"https://accounts.google.com/o/oauth2/v2/auth?client_id=c&state=%s", ""},
		{"state=%s", ""},
		{"user@example.com", ""},
		{"http://%zz", ""},
		{"code with spaces=4", ""},
		{"caf\u00e9-caf\u00e9-caf\u00e9", ""},
		{"4%0D%0A0AfgeXv-code_x", ""},
	}
	_, z := consentServer(t, tokentest.Wordings[0], "application/json", tokentest.TokenObject, tokentest.TokenForm)
	for _, tt := range tests {
		r := newRequest(t, z)
		pasted := strings.ReplaceAll(tt.pasted, "%s", r.state)
		q, ok := readPasted(pasted)
		if ok = ok && (!q.Has("state") || r.isAnswer(q)); ok != (tt.code != "") || ok && q.Get("code") != tt.code {
			t.Errorf("%q: %q, %t; want %q", pasted, q.Get("code"), ok, tt.code)
		}
		if tt.code != "" {
			continue
		}
		if _, err := r.Exchange(t.Context(), pasted); !errors.Is(err, ErrNotAnswer) {
			t.Errorf("%q: %v", pasted, err)
		}
	}
}

func FuzzReadPasted(f *testing.F) {
	f.Add("<http://localhost:1/?code=4%2F0A&state=x>")
	f.Add("4%2F0AfgeXv")
	f.Fuzz(func(t *testing.T, text string) {
		q, ok := readPasted(text)
		if code := q.Get("code"); ok && code == "" && q.Get("error") == "" || strings.ContainsAny(code, " \r\n\x00") {
			t.Errorf("%q: %v", text, q)
		}
	})
}

func TestRedirectURIs(t *testing.T) {
	_, z := consentServer(t, tokentest.Wordings[0], "application/json", tokentest.TokenObject, tokentest.TokenForm)
	for _, uri := range []string{"localhost", "/back", "http://localhost/#x", "://"} {
		_, err := z.AuthCode(Redirect{URI: uri})
		if e, ok := errors.AsType[*oauth.Error](err); !ok || !errors.Is(e, errRedirectURI) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}
