package password

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// Vectors of the reference implementations of argon2 (test.c) and bcrypt
// (crypt_blowfish's wrapper.c), so that hashes made elsewhere are accepted.
const (
	argon2Password = "password"
	argon2Stored   = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	argon2Lanes    = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"
	bcryptPassword = "U*U"
	bcryptStored   = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
)

func parse(t testing.TB, stored string) Secret {
	t.Helper()
	s, err := Parse(stored)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParse(t *testing.T) {
	tests := []struct {
		name, stored, password string
		recoverable            bool
	}{
		{"argon2id", argon2Stored, argon2Password, false},
		{"argon2id with two lanes", argon2Lanes, argon2Password, false},
		{"bcrypt 2a", bcryptStored, bcryptPassword, false},
		{"bcrypt 2b", strings.Replace(bcryptStored, "2a", "2b", 1), bcryptPassword, false},
		{"bcrypt 2y", strings.Replace(bcryptStored, "2a", "2y", 1), bcryptPassword, false},
		{"recoverable", "s3cret", "s3cret", true},
		{"recoverable, marked", "{PLAIN}$2a$05$", "$2a$05$", true},
		{"recoverable, marked twice", "{PLAIN}{PLAIN}x", "{PLAIN}x", true},
		{"recoverable, not ASCII", "pässwort ☃", "pässwort ☃", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.stored)
			if s.IsZero() || s.Recoverable() != tt.recoverable {
				t.Errorf("IsZero = %v, Recoverable = %v", s.IsZero(), s.Recoverable())
			}
			if !s.v.verify([]byte(tt.password)) {
				t.Error("the password is refused")
			}
			for _, wrong := range []string{"", tt.password + "x", tt.password[1:], tt.stored + "x", strings.ToUpper(tt.password) + "!"} {
				if s.v.verify([]byte(wrong)) {
					t.Errorf("%q is accepted", wrong)
				}
			}
			decoy := s.v.decoy()
			if decoy.v.cost() != s.v.cost() || decoy.v.text == tt.stored || decoy.Recoverable() != tt.recoverable || decoy.v.verify([]byte(tt.password)) {
				t.Errorf("decoy %q of %q", decoy.v.text, tt.stored)
			}
			if again := parse(t, decoy.v.text); again.v.cost() != s.v.cost() {
				t.Errorf("decoy %q costs %q, want %q", decoy.v.text, again.v.cost(), s.v.cost())
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ name, stored, why string }{
		{"empty", "", "0 octets"},
		{"marked but empty", "{PLAIN}", "0 octets"},
		{"recoverable, too long", strings.Repeat("x", maxPlain+1), "1025 octets"},
		{"another crypt", "$6$saltsalt$hash", "unknown scheme"},
		{"another argon2", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8", "unknown scheme"},
		{"bcrypt with the bug", strings.Replace(bcryptStored, "2a", "2x", 1), "unknown scheme"},
		{"another RFC 2307 scheme", "{SSHA}DkMTwBl+a/3DQTxCYEApdUtNXGgdUac3", "unknown scheme"},
		{"argon2id, nothing else", "$argon2id$", "want $argon2id$v=19$"},
		{"argon2id, field too many", argon2Stored + "$", "want $argon2id$v=19$"},
		{"argon2id, old version", strings.Replace(argon2Stored, "v=19", "v=16", 1), "version"},
		{"argon2id, order", strings.Replace(argon2Stored, "m=256,t=2", "t=2,m=256", 1), "parameters"},
		{"argon2id, leading zero", strings.Replace(argon2Stored, "t=2", "t=02", 1), "parameters"},
		{"argon2id, key id", strings.Replace(argon2Stored, "p=1", "p=1,keyid=x", 1), "parameters"},
		{"argon2id, too much memory", strings.Replace(argon2Stored, "m=256", "m=65537", 1), "m=65537 KiB is not in 8..65536"},
		{"argon2id, too little memory", strings.Replace(argon2Lanes, "m=256", "m=15", 1), "m=15 KiB is not in 16"},
		{"argon2id, no time", strings.Replace(argon2Stored, "t=2", "t=0", 1), "t=0"},
		{"argon2id, too long", strings.Replace(argon2Stored, "t=2", "t=11", 1), "t=11"},
		{"argon2id, no lane", strings.Replace(argon2Stored, "p=1", "p=0", 1), "p=0"},
		{"argon2id, too many lanes", strings.Replace(argon2Stored, "p=1", "p=260", 1), "p=260"},
		{"argon2id, padding", argon2Stored + "=", "base64"},
		{"argon2id, line break", argon2Stored + "\n", "base64"},
		{"argon2id, short salt", strings.Replace(argon2Stored, "c29tZXNhbHQ", "c29tZQ", 1), "salt has 4 octets"},
		{"argon2id, short hash", argon2Stored[:len(argon2Stored)-23], "hash has 15 octets"},
		{"bcrypt, cut", bcryptStored[:59], "59 octets"},
		{"bcrypt, no cost", strings.Replace(bcryptStored, "05", "xx", 1), "cost"},
		{"bcrypt, low cost", strings.Replace(bcryptStored, "05", "03", 1), "cost"},
		{"bcrypt, high cost", strings.Replace(bcryptStored, "05", "15", 1), "cost"},
		{"bcrypt, no cost field", strings.Replace(bcryptStored, "05$", "05x", 1), "octets"},
		{"bcrypt, alphabet", strings.Replace(bcryptStored, "CC", "+C", 1), "base64"},
		{"bcrypt, line break", strings.Replace(bcryptStored, "CC", "C\n", 1), "base64"},
		{"bcrypt, spare bits", bcryptStored[:59] + "X", "base64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := Parse(tt.stored)
			if !s.IsZero() || !errors.Is(err, ErrStored) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("Parse(%q) = %v, want ErrStored with %q", tt.stored, err, tt.why)
			}
		})
	}
}

func TestHash(t *testing.T) {
	if _, err := Hash(""); !errors.Is(err, ErrEmpty) {
		t.Errorf("Hash of nothing: %v, want ErrEmpty", err)
	}
	one, err := Hash("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(one, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("Hash = %q", one)
	}
	if s := parse(t, one); !s.v.verify([]byte("correct horse")) || s.v.verify([]byte("correct horsf")) {
		t.Error("the new hash does not tell the password from another")
	}
	if two, _ := Hash("correct horse"); one == two {
		t.Error("two hashes are the same")
	}
}

func TestSecretIsNotShown(t *testing.T) {
	s := parse(t, "hunter2hunter2")
	asJSON, err := json.Marshal(map[string]Secret{"password": s})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s)
	shown := fmt.Sprintf("%s %v %+v %#v %q %x %d", s, s, s, s, s, s, s) + fmt.Sprint(s, &s, []Secret{s}) + s.String() + s.GoString() +
		string(asJSON) + log.String()
	if strings.Contains(shown, "hunter") || strings.Contains(shown, fmt.Sprintf("%x", "hunter")) || !strings.Contains(shown, "<secret>") {
		t.Errorf("shown: %s", shown)
	}
}

func TestPolicy(t *testing.T) {
	for p, want := range map[Policy]bool{PolicyAny: true, PolicyShared: true, PolicyAccount: true, "": false, "Any": false} {
		if p.Valid() != want {
			t.Errorf("Policy(%q).Valid() = %v", p, p.Valid())
		}
	}
}

// isParameter tells whether a field of a stored hash is public: what the function
// is and what it costs.
func isParameter(field string) bool {
	name, number, found := strings.Cut(field, "=")
	return found && strings.Contains("v m t p", name) && strings.Trim(number, "0123456789") == ""
}

// FuzzParse: what is taken is canonical and can be verified, and a refusal does
// not repeat what was given, but for the name and the parameters of a function.
func FuzzParse(f *testing.F) {
	for _, s := range []string{argon2Stored, argon2Lanes, bcryptStored, "s3cret", "{PLAIN}$", "{SSHA}x", "$", "$2b$", "$argon2id$v=19$m=8,t=1,p=1$$",
		"$argon2id$v=19$m=256,t=1000000,p=1$", strings.Replace(argon2Stored, "t=1", "t=1000000", 1)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, stored string) {
		s, err := Parse(stored)
		if s.IsZero() != (err != nil) || err != nil && !errors.Is(err, ErrStored) {
			t.Fatalf("Parse(%q) = %v", stored, err)
		}
		if err != nil {
			for field := range strings.FieldsFuncSeq(stored, func(r rune) bool { return r == '$' || r == ',' || r == '}' }) {
				if len(field) > 8 && !isParameter(field) && strings.Contains(err.Error(), field) {
					t.Fatalf("%q shows in %q", field, err)
				}
			}
			return
		}
		switch k := s.v.scheme.(type) {
		case argon2id:
			if k.encode() != stored {
				t.Fatalf("%q is encoded as %q", stored, k.encode())
			}
			if k.kib <= 256 {
				k.verify([]byte("x")) // must not panic
			}
		case bcryptHash:
			cost, err := bcrypt.Cost([]byte(stored))
			if err != nil || fmt.Sprintf("$2b$%02d", cost) != k.cost() {
				t.Fatalf("%q: cost %d, %v", stored, cost, err)
			}
			if cost == minBcryptCost {
				if err := bcrypt.CompareHashAndPassword(k, []byte("x")); err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
					t.Fatalf("%q: %v", stored, err)
				}
			}
		case plain:
			if !k.verify([]byte(strings.TrimPrefix(stored, plainPrefix))) {
				t.Fatalf("%q does not accept itself", stored)
			}
		}
	})
}
