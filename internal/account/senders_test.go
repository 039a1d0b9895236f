package account

import "testing"

func TestParseSender(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"user@example.com", "user@example.com"},
		{"User@Example.COM", "user@example.com"},
		{"@Example.com", "@example.com"},
		{"*@example.com", "@example.com"},
		{"@bücher.example", "@xn--bcher-kva.example"},
		{"self", "self"},
		{"user@[192.0.2.1]", "user@[192.0.2.1]"},
		{"o'neil+x=y@example.com", "o'neil+x=y@example.com"},
		{"", ""}, {"user", ""}, {"user@", ""}, {"@", ""}, {"*", ""}, {"*@", ""}, {"Self", ""}, {"<>", ""},
		{"<user@example.com>", ""}, {"User <user@example.com>", ""}, {"a@example.com, b@example.com", ""},
		{"a@example.com b@example.com", ""}, {"a@b@example.com", ""}, {`"a"@example.com`, ""}, {"news*@example.com", ""},
		{"user@*.example.com", ""}, {"user@example.*", ""}, {"@.example.com", ""}, {"@example.com.", ""}, {"@example..com", ""},
	} {
		got, err := ParseSender(tt.in)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: %q, %v, want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestMaySendAs(t *testing.T) {
	account := func(elements ...string) *Account {
		var list []string
		for _, e := range elements {
			s, err := ParseSender(e)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, s)
		}
		return &Account{Email: "Me@Example.net", Senders: NewSenders(list)}
	}
	all := account()
	some := account("self", "b@other.example", "*@bücher.example", "Z@example.com", "a@example.com", "b@other.example")
	for _, tt := range []struct {
		mailbox string
		want    bool
	}{
		{"a@example.com", true}, {"A@EXAMPLE.COM", true}, {"z@example.com", true}, {"b@example.com", false},
		{"me@example.net", true}, {"you@example.net", false}, {"self", false}, {"self@example.com", false},
		{"any@bücher.example", true}, {"any@XN--BCHER-KVA.example", true}, {"any@BÜCHER.example", true},
		{"any@sub.bücher.example", false}, {"any@bücher.example.", false}, {"@bücher.example", true},
		{"a@example.com@evil.example", false}, {"x@evil.example@bücher.example", true},
		{"a@example.com.evil.example", false}, {"aa@example.com", false}, {"", false}, {"@", false},
		{"ſelf@example.com", false}, {"z@example.com\x00", false},
	} {
		if got := some.MaySendAs(tt.mailbox); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.mailbox, got, tt.want)
		}
		if !all.MaySendAs(tt.mailbox) {
			t.Errorf("%q is refused without a list", tt.mailbox)
		}
	}
}
