package codec_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"xoauth2-proxy/codec"
)

func TestParseAuth(t *testing.T) {
	tests := []struct {
		in      string
		mech    codec.Mechanism
		initial string
		has     bool
		err     error
	}{
		{"PLAIN", codec.MechPLAIN, "", false, nil},
		{"plain AGEAYg==", codec.MechPLAIN, "AGEAYg==", true, nil},
		{"PLAIN =", codec.MechPLAIN, "", true, nil},
		{"Login", codec.MechLOGIN, "", false, nil},
		{"CRAM-MD5", codec.MechCRAMMD5, "", false, nil},
		{"XOAUTH2 eA==", codec.MechXOAUTH2, "eA==", true, nil},
		{"OAUTHBEARER \t eA== ", codec.MechOAUTHBEARER, "eA==", true, nil},
		{"GSSAPI", codec.MechUnknown, "", false, nil},
		{"", codec.MechUnknown, "", false, codec.ErrArgSyntax},
		{"PLAIN a b", codec.MechUnknown, "", false, codec.ErrArgSyntax},
	}
	for _, tt := range tests {
		mech, initial, err := codec.ParseAuth([]byte(tt.in))
		if mech != tt.mech || string(initial) != tt.initial || (initial != nil) != tt.has || err != tt.err {
			t.Errorf("ParseAuth(%q) = %v, %q, %v", tt.in, mech, initial, err)
		}
	}
}

func TestDecodeBase64(t *testing.T) {
	for in, want := range map[string]string{"": "", "YQ==": "a", "AGEAYg==": "\x00a\x00b", "////": "\xff\xff\xff"} {
		if got, err := codec.DecodeBase64([]byte("x"), []byte(in)); string(got) != "x"+want || err != nil {
			t.Errorf("DecodeBase64(%q) = %q, %v", in, got, err)
		}
		if got := codec.AppendBase64([]byte("x"), []byte(want)); string(got) != "x"+in {
			t.Errorf("AppendBase64(%q) = %q", want, got)
		}
	}
	for _, in := range []string{"=", "*", "YQ", "YQ=", "YR==", "YQ==\n", "Y\r\nQ==", "YQ==YQ==", "YQ== ", "_-8="} {
		if got, err := codec.DecodeBase64([]byte("x"), []byte(in)); string(got) != "x" || err != codec.ErrBase64 {
			t.Errorf("DecodeBase64(%q) = %q, %v", in, got, err)
		}
	}
}

func TestParsePlain(t *testing.T) {
	authzid, authcid, passwd, err := codec.ParsePlain([]byte("z\x00user@example.com\x00p w"))
	if string(authzid) != "z" || string(authcid) != "user@example.com" || string(passwd) != "p w" || err != nil {
		t.Errorf("got %q, %q, %q, %v", authzid, authcid, passwd, err)
	}
	for _, msg := range []string{"", "a", "a\x00b", "\x00\x00", "\x00u\x00", "\x00\x00p", "\x00u\x00p\x00", "\x00u\x00p\x00q"} {
		if _, _, _, err := codec.ParsePlain([]byte(msg)); err != codec.ErrSASL {
			t.Errorf("ParsePlain(%q): %v", msg, err)
		}
	}
}

func FuzzPlain(f *testing.F) {
	for _, s := range []string{"\x00u\x00p", "z\x00u\x00p", "", "\x00\x00\x00", "u\x00p"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		authzid, authcid, passwd, err := codec.ParsePlain(msg)
		valid := bytes.Count(msg, []byte{0}) == 2 && !bytes.Contains(msg, []byte{0, 0}) && !bytes.HasSuffix(msg, []byte{0})
		if (err == nil) != valid {
			t.Fatalf("ParsePlain(%q): %v", msg, err)
		}
		if err == nil && string(authzid)+"\x00"+string(authcid)+"\x00"+string(passwd) != string(msg) {
			t.Fatalf("ParsePlain(%q) = %q, %q, %q", msg, authzid, authcid, passwd)
		}
	})
}

func FuzzBase64(f *testing.F) {
	for _, s := range []string{"YQ==", "YR==", "YQ", "Y\nQ==", "AAAA"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := codec.DecodeBase64(nil, in)
		if err == nil && !bytes.Equal(codec.AppendBase64(nil, out), in) {
			t.Fatalf("%q decodes to %q, which is not its only form", in, out)
		}
		if got, err := codec.DecodeBase64(nil, codec.AppendBase64(nil, in)); err != nil || !bytes.Equal(got, in) {
			t.Fatalf("%q comes back as %q, %v", in, got, err)
		}
	})
}

func FuzzAuth(f *testing.F) {
	for _, s := range []string{"PLAIN", "PLAIN =", "LOGIN dQ==", "", " ", "a b c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, args []byte) {
		mech, initial, err := codec.ParseAuth(args)
		if err != nil && (mech != codec.MechUnknown || initial != nil) {
			t.Fatalf("ParseAuth(%q) = %v, %q, %v", args, mech, initial, err)
		}
		if !bytes.Contains(args, initial) || bytes.ContainsAny(initial, " \t") {
			t.Fatalf("ParseAuth(%q): initial response %q", args, initial)
		}
	})
}

func TestXOAUTH2(t *testing.T) {
	got := codec.AppendXOAUTH2([]byte("AUTH XOAUTH2 "), "someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
	// The example of Google's XOAUTH2 protocol description.
	const want = "AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	msg, err := codec.DecodeBase64(nil, got[len("AUTH XOAUTH2 "):])
	if err != nil {
		t.Fatal(err)
	}
	user, token, err := codec.ParseXOAUTH2(msg)
	if user != "someuser@example.com" || token != "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg" || err != nil {
		t.Errorf("ParseXOAUTH2 = %q, %q, %v", user, token, err)
	}
	for _, msg := range []string{"", "user=a", "user=a\x01auth=Bearer t\x01", "user=\x01auth=Bearer t\x01\x01", "user=a\x01auth=Bearer \x01\x01",
		"user=a\x01auth=Basic t\x01\x01", "a\x01auth=Bearer t\x01\x01", "user=a\x01auth=Bearer t\x01x=y\x01\x01"} {
		if _, _, err := codec.ParseXOAUTH2([]byte(msg)); err != codec.ErrSASL {
			t.Errorf("ParseXOAUTH2(%q): %v", msg, err)
		}
	}
}

func TestAppendOAUTHBEARER(t *testing.T) {
	got := codec.AppendOAUTHBEARER([]byte("x"), "u=s,er@example.com", "smtp.example.com", 587, "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==")
	msg, err := base64.StdEncoding.DecodeString(string(got[1:]))
	const want = "n,a=u=3Ds=2Cer@example.com,\x01host=smtp.example.com\x01port=587\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
	if string(msg) != want || err != nil {
		t.Errorf("got %q, %v", msg, err)
	}
}

func TestCRAMMD5(t *testing.T) {
	// The example of RFC 2195 section 2.
	secret, challenge := []byte("tanstaaftanstaaf"), []byte("<1896.697170952@postoffice.reston.mci.net>")
	const response = "tim b913a602c7eda7a495b4e6e7334d3890"
	user, digest, err := codec.ParseCRAMMD5([]byte(response))
	if string(user) != "tim" || string(digest) != "b913a602c7eda7a495b4e6e7334d3890" || err != nil {
		t.Errorf("ParseCRAMMD5 = %q, %q, %v", user, digest, err)
	}
	for in, want := range map[string]bool{
		response:                    true,
		strings.ToUpper(response):   true,
		response[:35] + "1":         false,
		response[:35]:               false,
		"tim":                       false,
		"":                          false,
		response[4:]:                false,
		"tim x" + response[5:]:      false,
		"tim tom " + response[4:]:   true, // the user name may have spaces
		response + " ":              false,
		"tim\x00" + response[4:]:    false,
		"tim  " + response[4:] + "": true,
	} {
		if got := codec.CRAMMD5Check(secret, challenge, []byte(in)); got != want {
			t.Errorf("response %q: %v", in, got)
		}
	}
	if codec.CRAMMD5Check([]byte("other"), challenge, []byte(response)) || codec.CRAMMD5Check(secret, []byte("<other>"), []byte(response)) {
		t.Error("a response passes for another secret or challenge")
	}
	a, b := codec.CRAMMD5Challenge("mail.example"), codec.CRAMMD5Challenge("mail.example")
	if a == b || !strings.HasPrefix(a, "<") || !strings.HasSuffix(a, "@mail.example>") {
		t.Errorf("challenges %q and %q", a, b)
	}
}
