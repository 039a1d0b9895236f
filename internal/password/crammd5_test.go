package password

import (
	"crypto/hmac"
	"crypto/md5"
	"encoding/hex"
	"strings"
	"testing"
)

func TestCheckCRAMMD5(t *testing.T) {
	// The example of RFC 2195 section 2.
	const (
		challenge = "<1896.697170952@postoffice.reston.mci.net>"
		secret    = "tanstaaftanstaaf"
		digest    = "b913a602c7eda7a495b4e6e7334d3890"
	)
	c := New(testConfig(), nil)
	defer c.Close()
	forNobody := "9b0a4d61bbd05a8a7ce5ff8f4e4a60a9"
	tests := []struct {
		name                string
		secret              Secret
		challenge, response string
		want                Result
	}{
		{name: "right", secret: parse(t, secret), challenge: challenge, response: digest, want: Allowed},
		{name: "right, upper case", secret: parse(t, secret), challenge: challenge, response: strings.ToUpper(digest), want: Allowed},
		{name: "another secret", secret: parse(t, secret+"x"), challenge: challenge, response: digest, want: Refused},
		{name: "another challenge", secret: parse(t, secret), challenge: challenge[1:], response: digest, want: Refused},
		{name: "another digest", secret: parse(t, secret), challenge: challenge, response: forNobody, want: Refused},
		{name: "too short", secret: parse(t, secret), challenge: challenge, response: digest[:30], want: Refused},
		{name: "too long", secret: parse(t, secret), challenge: challenge, response: digest + "00", want: Refused},
		{name: "not hexadecimal", secret: parse(t, secret), challenge: challenge, response: digest[:31] + "x", want: Refused},
		{name: "empty", secret: parse(t, secret), challenge: challenge, response: "", want: Refused},
		{name: "hashed secret", secret: parse(t, argon2Stored), challenge: challenge, response: digest, want: Refused},
		{name: "no account", challenge: challenge, response: digest, want: Refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := c.responses.Load()
			if got := c.CheckCRAMMD5(tt.secret, []byte(tt.challenge), []byte(tt.response)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			if n := c.responses.Load() - before; n != 1 {
				t.Errorf("%d responses computed, want one whatever is asked", n)
			}
		})
	}
}

// TestCRAMMD5StandIn: no client logs in with the secret that stands in for none.
func TestCRAMMD5StandIn(t *testing.T) {
	c := New(testConfig(), nil)
	defer c.Close()
	response := cramMD5(noSecret, "<1@example>")
	if r := c.CheckCRAMMD5(newSecret("", noSecret), []byte("<1@example>"), []byte(response)); r != Allowed {
		t.Fatalf("the response is wrong: %v", r)
	}
	for _, secret := range []Secret{{}, parse(t, argon2Stored)} {
		if r := c.CheckCRAMMD5(secret, []byte("<1@example>"), []byte(response)); r != Refused {
			t.Errorf("%v, want refused", r)
		}
	}
}

func cramMD5(secret []byte, challenge string) string {
	mac := hmac.New(md5.New, secret)
	mac.Write([]byte(challenge))
	return hex.EncodeToString(mac.Sum(nil))
}
