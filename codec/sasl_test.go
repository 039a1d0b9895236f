package codec_test

import (
	"bytes"
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
		{"XOAUTH2 eA==", codec.MechUnknown, "eA==", true, nil},
		{"OAUTHBEARER \t eA== ", codec.MechUnknown, "eA==", true, nil},
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
	if _, authcid, passwd, err = codec.ParsePlain([]byte("\x00u\x00")); string(authcid) != "u" || len(passwd) != 0 || err != nil {
		t.Errorf("an empty password: got %q, %q, %v", authcid, passwd, err)
	}
	for _, msg := range []string{"", "a", "a\x00b", "\x00\x00", "\x00\x00p", "\x00u\x00p\x00", "\x00u\x00p\x00q"} {
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
		parts := bytes.Split(msg, []byte{0})
		valid := len(parts) == 3 && len(parts[1]) > 0
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

func TestCRAMMD5(t *testing.T) {
	// The example of RFC 2195 section 2.
	const digest = "b913a602c7eda7a495b4e6e7334d3890"
	for in, user := range map[string]string{
		"tim " + digest:                  "tim",
		"tim " + strings.ToUpper(digest): "tim",
		"tim tom " + digest:              "tim tom", // the user name may have spaces
		"tim  " + digest:                 "tim ",
		"tim " + digest[:31]:             "",
		"tim":                            "",
		"":                               "",
		digest:                           "",
		" " + digest:                     "",
		"tim x" + digest[1:]:             "",
		"tim " + digest + " ":            "",
		"tim\x00" + digest:               "",
	} {
		gotUser, gotDigest, err := codec.ParseCRAMMD5([]byte(in))
		if (err == nil) != (user != "") || string(gotUser) != user || err == nil && !strings.EqualFold(string(gotDigest), digest) {
			t.Errorf("ParseCRAMMD5(%q) = %q, %q, %v", in, gotUser, gotDigest, err)
		}
	}
	a, b := codec.CRAMMD5Challenge("mail.example"), codec.CRAMMD5Challenge("mail.example")
	if a == b || !strings.HasPrefix(a, "<") || !strings.HasSuffix(a, "@mail.example>") {
		t.Errorf("challenges %q and %q", a, b)
	}
}
