package tokend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/url"
	"strings"
	"testing"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/mailbox"
	"xoauth2-proxy/internal/testkit"
)

const outlookAppScope = "https://outlook.office365.com/.default"

// postToken posts a form to a path of the HTTP server.
func postToken(t *testing.T, s *fixture, path string, form url.Values) tokenAnswer {
	t.Helper()
	resp, text, err := testkit.TryPost(nil, "http://"+s.HTTPAddr()+path, form)
	if err != nil {
		t.Fatal(err)
	}
	ans := tokenAnswer{Status: resp.StatusCode, Raw: text}
	json.Unmarshal([]byte(text), &ans)
	return ans
}

// get asks for a path without following a redirect, and returns where it leads.
func get(t *testing.T, s *fixture, path string) (status int, location string) {
	t.Helper()
	resp, _ := testkit.Ask(t, nil, "GET", "http://"+s.HTTPAddr()+path, "")
	return resp.StatusCode, resp.Header.Get("Location")
}

// sign makes an assertion by RS256 or, with an EC key, ES256.
func sign(t *testing.T, header, claims map[string]any, key crypto.Signer) string {
	t.Helper()
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	enc := base64.RawURLEncoding.EncodeToString
	text := enc(h) + "." + enc(c)
	digest := sha256.Sum256([]byte(text))
	var sig []byte
	var err error
	if k, ok := key.(*ecdsa.PrivateKey); ok {
		r, s, e := ecdsa.Sign(rand.Reader, k, digest[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), e
	} else {
		sig, err = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(sig)
}

func TestClientCredentialsSecret(t *testing.T) {
	s := newServer(t, Config{})
	add(t, s, Client{ID: "app", Secret: "s3cret"})
	form := func(edit func(url.Values)) url.Values {
		f := url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"s3cret"}, "scope": {outlookAppScope}}
		edit(f)
		return f
	}
	ans := postToken(t, s, "/contoso/oauth2/v2.0/token", form(func(url.Values) {}))
	if ans.Status != 200 || ans.AccessToken == "" || ans.RefreshToken != "" {
		t.Fatalf("%+v", ans)
	}
	if !s.Opens(outlookUser, ans.AccessToken) || s.Opens(gmailUser, ans.AccessToken) {
		t.Error("the token must open the mailboxes of its provider, and no other")
	}
	for want, edit := range map[string]func(url.Values){
		"invalid_client":      func(f url.Values) { f.Set("client_secret", "x") },
		"unauthorized_client": func(f url.Values) { f.Set("client_id", "x") },
		"invalid_request":     func(f url.Values) { f.Del("scope") },
		"invalid_scope":       func(f url.Values) { f.Set("scope", "https://outlook.office.com/SMTP.Send") },
	} {
		if ans := postToken(t, s, "/token", form(edit)); ans.Error != want {
			t.Errorf("%s: %+v", want, ans)
		}
	}
}

func TestClientMailboxes(t *testing.T) {
	for allowed, want := range map[string]bool{"*@outlook.com": true, "user@outlook.com": true, "*@other.test": false, "x@outlook.com": false} {
		s := newServer(t, Config{})
		add(t, s, Client{ID: "app", Secret: "s", Mailboxes: []string{allowed}})
		ans := postToken(t, s, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"app"}, "client_secret": {"s"}, "scope": {outlookAppScope}})
		if got := s.Opens(outlookUser, ans.AccessToken); got != want {
			t.Errorf("mailboxes %s: opens %v", allowed, got)
		}
	}
}

func TestClientAssertion(t *testing.T) {
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	otherKey, _ := rsa.GenerateKey(rand.Reader, 2048)
	rsaCert, ecCert := testkit.CertificateOf(rsaKey, "app"), testkit.CertificateOf(ecKey, "app")
	s := newServer(t, Config{})
	add(t, s, Client{ID: "rsa", Certificate: string(testkit.PublicPEM(rsaCert))}, Client{ID: "ec", Certificate: string(testkit.PublicPEM(ecCert))})
	now := time.Now()
	type parts struct {
		header, claims map[string]any
		key            crypto.Signer
	}
	tests := []struct {
		name, client string
		edit         func(*parts)
		ok           bool
	}{
		{"RS256 with x5t", "rsa", func(*parts) {}, true},
		{"ES256", "ec", func(p *parts) { p.header["alg"], p.key = "ES256", ecKey }, true},
		{"x5t#S256", "rsa", func(p *parts) {
			sum := sha256.Sum256(rsaCert.Leaf.Raw)
			p.header["x5t#S256"] = base64.RawURLEncoding.EncodeToString(sum[:])
			delete(p.header, "x5t")
		}, true},
		{"other key", "rsa", func(p *parts) { p.key = otherKey }, false},
		{"no thumbprint", "rsa", func(p *parts) { delete(p.header, "x5t") }, false},
		{"other thumbprint", "rsa", func(p *parts) { p.header["x5t#S256"] = "AAAA" }, false},
		{"algorithm none", "rsa", func(p *parts) { p.header["alg"] = "none" }, false},
		{"algorithm of another key", "rsa", func(p *parts) { p.header["alg"] = "ES256" }, false},
		{"other audience", "rsa", func(p *parts) { p.claims["aud"] = "https://login.example.com/token" }, false},
		{"other issuer", "rsa", func(p *parts) { p.claims["iss"] = "ec" }, false},
		{"other subject", "rsa", func(p *parts) { p.claims["sub"] = "ec" }, false},
		{"no jti", "rsa", func(p *parts) { delete(p.claims, "jti") }, false},
		{"expired", "rsa", func(p *parts) { p.claims["exp"] = now.Add(-maxSkew - time.Minute).Unix() }, false},
		{"without an end", "rsa", func(p *parts) { delete(p.claims, "exp") }, false},
		{"good for too long", "rsa", func(p *parts) { p.claims["exp"] = now.Add(3 * time.Hour).Unix() }, false},
		{"from the future", "rsa", func(p *parts) { p.claims["nbf"] = now.Add(time.Hour / 2).Unix() }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			der := rsaCert.Leaf.Raw
			if tt.client == "ec" {
				der = ecCert.Leaf.Raw
			}
			sum := sha1.Sum(der)
			p := parts{
				header: map[string]any{"alg": "RS256", "typ": "JWT", "x5t": base64.RawURLEncoding.EncodeToString(sum[:])},
				claims: map[string]any{"iss": tt.client, "sub": tt.client, "aud": s.TokenURL(), "jti": "1", "exp": now.Add(5 * time.Minute).Unix()},
				key:    rsaKey,
			}
			tt.edit(&p)
			ans := postToken(t, s, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {tt.client}, "scope": {outlookAppScope},
				"client_assertion_type": {clientAssertionType}, "client_assertion": {sign(t, p.header, p.claims, p.key)}})
			if got := ans.Status == 200; got != tt.ok || !tt.ok && ans.Error != "invalid_client" {
				t.Errorf("%+v", ans)
			}
		})
	}
	if ans := postToken(t, s, "/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"rsa"}, "scope": {outlookAppScope}}); ans.Error != "invalid_client" {
		t.Errorf("without an assertion: %+v", ans)
	}
}

func TestServiceAccount(t *testing.T) {
	key, _ := rsa.GenerateKey(rand.Reader, 2048)
	other, _ := rsa.GenerateKey(rand.Reader, 2048)
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	const svc = "svc@project.iam.gserviceaccount.com"
	s := newServer(t, Config{})
	add(t, s, Client{ID: svc, PublicKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pub})), KeyID: "k1"})
	now := time.Now()
	tests := []struct {
		name string
		edit func(header, claims map[string]any)
		key  crypto.Signer
		want string // error; "": none
	}{
		{"good", func(_, _ map[string]any) {}, key, ""},
		{"other key", func(_, _ map[string]any) {}, other, "invalid_grant"},
		{"other key id", func(h, _ map[string]any) { h["kid"] = "k2" }, key, "invalid_grant"},
		{"unknown service account", func(_, c map[string]any) { c["iss"] = "x" }, key, "invalid_grant"},
		{"other audience", func(_, c map[string]any) { c["aud"] = "https://oauth2.googleapis.com/token" }, key, "invalid_grant"},
		{"expired", func(_, c map[string]any) { c["exp"] = now.Add(-time.Hour).Unix() }, key, "invalid_grant"},
		{"no iat", func(_, c map[string]any) { delete(c, "iat") }, key, "invalid_grant"},
		{"other scope", func(_, c map[string]any) { c["scope"] = "openid" }, key, "unauthorized_client"},
		{"no subject", func(_, c map[string]any) { delete(c, "sub") }, key, "unauthorized_client"},
		{"unknown subject", func(_, c map[string]any) { c["sub"] = "none@gmail.com" }, key, "invalid_grant"},
		{"subject of another provider", func(_, c map[string]any) { c["sub"] = outlookUser }, key, "unauthorized_client"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			header := map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"}
			claims := map[string]any{"iss": svc, "sub": gmailUser, "aud": s.TokenURL(), "scope": scopes[mailbox.Gmail],
				"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
			tt.edit(header, claims)
			ans := postToken(t, s, "/token", url.Values{"grant_type": {grantJWTBearer}, "assertion": {sign(t, header, claims, tt.key)}})
			if ans.Error != tt.want || (ans.AccessToken == "") != (tt.want != "") {
				t.Errorf("%+v", ans)
			}
			if opens := s.Opens(gmailUser, ans.AccessToken); opens != (tt.want == "") || s.Opens(outlookUser, ans.AccessToken) {
				t.Errorf("opens its subject %v, or another mailbox", opens)
			}
		})
	}
}

const outlookConsentScope = "https://outlook.office.com/SMTP.Send offline_access"

func TestDeviceCode(t *testing.T) {
	s := newServer(t, Config{Consent: "manual"})
	client := s.Mailbox(outlookUser).ClientID
	ask := func() (device, user string) {
		t.Helper()
		ans := postToken(t, s, "/common/oauth2/v2.0/devicecode", url.Values{"client_id": {client}, "scope": {outlookConsentScope}})
		var d struct {
			Device   string `json:"device_code"`
			User     string `json:"user_code"`
			URL      string `json:"verification_uri"`
			Interval int    `json:"interval"`
		}
		if json.Unmarshal([]byte(ans.Raw), &d); d.Device == "" || d.User == "" || d.URL == "" || d.Interval != 5 {
			t.Fatalf("%+v", ans)
		}
		return d.Device, d.User
	}
	poll := func(device string) tokenAnswer {
		return postToken(t, s, "/token", url.Values{"grant_type": {grantDeviceCode}, "client_id": {client}, "device_code": {device}})
	}
	device, user := ask()
	for i, want := range []string{"authorization_pending", "slow_down"} {
		if ans := poll(device); ans.Error != want {
			t.Fatalf("poll %d: %+v", i, ans)
		}
	}
	if _, err := s.Consent(user, gmailUser); err == nil {
		t.Error("an account of another client consented")
	}
	if _, err := s.Consent(strings.ToLower(user), outlookUser); err != nil {
		t.Fatal(err)
	}
	s.advance(5 * time.Second)
	ans := poll(device)
	if ans.AccessToken == "" || ans.RefreshToken == "" || ans.RefreshToken != s.RefreshToken(outlookUser) {
		t.Fatalf("%+v", ans)
	}
	if again, _ := refresh(t, s, outlookUser, nil); again.AccessToken == "" || s.UsedRefreshToken(outlookUser) != ans.RefreshToken {
		t.Errorf("the new refresh token: %+v", again)
	}
	if again := poll(device); again.Error != "invalid_grant" {
		t.Errorf("a second time: %+v", again)
	}
	device, user = ask()
	if _, err := s.Consent(user, ""); err != nil {
		t.Fatal(err)
	}
	if ans := poll(device); ans.Error != "access_denied" {
		t.Errorf("denied: %+v", ans)
	}
	device, _ = ask()
	s.advance(time.Hour)
	if ans := poll(device); ans.Error != "expired_token" {
		t.Errorf("expired: %+v", ans)
	}
	if ans := postToken(t, s, "/devicecode", url.Values{"client_id": {"x"}}); ans.Error != "unauthorized_client" {
		t.Errorf("unknown client: %+v", ans)
	}
	if ans := postToken(t, s, "/devicecode", url.Values{"client_id": {client}, "scope": {"openid"}}); ans.Error != "invalid_scope" {
		t.Errorf("unknown scope: %+v", ans)
	}
}

func TestAuthorizationCode(t *testing.T) {
	const redirect, verifier = "http://localhost:1234", "a-verifier-of-at-least-forty-three-characters-in-all"
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	s := newServer(t, Config{})
	client := s.Mailbox(outlookUser).ClientID
	authorize := func(edit func(url.Values)) (int, url.Values) {
		t.Helper()
		q := url.Values{"client_id": {client}, "scope": {outlookConsentScope}, "redirect_uri": {redirect}, "state": {"st"},
			"response_type": {"code"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "login_hint": {outlookUser}}
		edit(q)
		status, location := get(t, s, "/common/oauth2/v2.0/authorize?"+q.Encode())
		u, _ := url.Parse(location)
		return status, u.Query()
	}
	exchange := func(edit func(url.Values)) tokenAnswer {
		t.Helper()
		_, q := authorize(func(url.Values) {})
		if q.Get("code") == "" || q.Get("state") != "st" {
			t.Fatalf("%v", q)
		}
		f := url.Values{"grant_type": {"authorization_code"}, "client_id": {client}, "code": {q.Get("code")}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
		edit(f)
		return postToken(t, s, "/token", f)
	}
	var code string
	ans := exchange(func(f url.Values) { code = f.Get("code") })
	if ans.AccessToken == "" || ans.RefreshToken == "" || !strings.Contains(ans.Scope, "SMTP.Send") {
		t.Fatalf("%+v", ans)
	}
	for name, edit := range map[string]func(url.Values){
		"used code":      func(f url.Values) { f.Set("code", code) },
		"no verifier":    func(f url.Values) { f.Del("code_verifier") },
		"wrong verifier": func(f url.Values) { f.Set("code_verifier", verifier+"x") },
		"other redirect": func(f url.Values) { f.Set("redirect_uri", redirect+"/x") },
		"other client":   func(f url.Values) { f.Set("client_id", s.Mailbox(gmailUser).ClientID) },
	} {
		if ans := exchange(edit); ans.Error != "invalid_grant" {
			t.Errorf("%s: %+v", name, ans)
		}
	}
	for want, edit := range map[string]func(url.Values){
		"invalid_request":           func(q url.Values) { q.Del("code_challenge") },
		"invalid_scope":             func(q url.Values) { q.Set("scope", "openid") },
		"unsupported_response_type": func(q url.Values) { q.Set("response_type", "token") },
	} {
		if status, q := authorize(edit); status != 302 || q.Get("error") != want || q.Get("state") != "st" {
			t.Errorf("%s: %d %v", want, status, q)
		}
	}
	for name, edit := range map[string]func(url.Values){
		"unknown client":  func(q url.Values) { q.Set("client_id", "x") },
		"remote redirect": func(q url.Values) { q.Set("redirect_uri", "http://example.com") },
	} {
		if status, _ := authorize(edit); status != 400 {
			t.Errorf("%s: status %d", name, status)
		}
	}
}

// TestManualConsent has a consent in a browser wait for a person.
func TestManualConsent(t *testing.T) {
	s := newServer(t, Config{Consent: "manual"})
	a := s.Mailbox(gmailUser)
	q := url.Values{"client_id": {a.ClientID}, "scope": {scopes[mailbox.Gmail]}, "redirect_uri": {"http://127.0.0.1:9"}, "state": {"st"},
		"response_type": {"code"}, "access_type": {"offline"}, "code_challenge": {"c"}, "code_challenge_method": {"S256"}}
	ask := func() string {
		t.Helper()
		status, location := get(t, s, "/authorize?"+q.Encode())
		if status != 302 || !strings.HasPrefix(location, "/consent?id=") {
			t.Fatalf("%d %q", status, location)
		}
		return location
	}
	page := ask()
	if status, _ := get(t, s, page); status != 200 {
		t.Errorf("page: status %d", status)
	}
	if _, location := get(t, s, page+"&account="+gmailUser); !strings.Contains(location, "code=sbc.") || !strings.HasPrefix(location, "http://127.0.0.1:9?") {
		t.Errorf("consent leads to %q", location)
	}
	if status, _ := get(t, s, page+"&account="+gmailUser); status != 400 {
		t.Errorf("twice: status %d", status)
	}
	if _, location := get(t, s, ask()+"&account="); !strings.Contains(location, "error=access_denied") {
		t.Errorf("refusal leads to %q", location)
	}
}
