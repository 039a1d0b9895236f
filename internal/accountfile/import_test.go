package accountfile

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"xoauth2-proxy/internal/account"
)

func TestReadImport(t *testing.T) {
	for _, tt := range []struct {
		name, list string
		options    ImportOptions
		want       []string // a line for each account: its line and the entry, or what is wrong
	}{
		{"batch text of the original", `# exported
a@hotmail.com,id1,M.C5!*$.x,client,1700000000,host1

b@outlook.com, id2 ,M.C6,client
c@live.com,id3,M.C7
d@example.com,id4,M.C8,client
e@hotmail.com,id1,M.C9,client
A@hotmail.com,id5,M.C9,client
`, ImportOptions{}, []string{
			`2 {"email": "a@hotmail.com", "account_id": "id1", "refresh_token": "M.C5!*$.x", "client_id": "client", "vmta_name": "vmta-id1", "provider": "outlook"}`,
			`4 {"email": "b@outlook.com", "account_id": "id2", "refresh_token": "M.C6", "client_id": "client", "vmta_name": "vmta-id2", "provider": "outlook"}`,
			`5 has 3 fields`,
			`6 provider: the domain of "d@example.com" does not tell it`,
			`7 account_id: "id1" is on line 2 already`,
			`8 email: "A@hotmail.com" is on line 2 already`,
		}},
		{"batch text, completed", "a@gmail.com,id1,canary1,c\nb@example.com,id2,canary2,c\n",
			ImportOptions{Provider: "outlook", ClientSecret: account.NewSecret("s3"), FirstIP: netip.MustParseAddr("192.168.1.255")}, []string{
				`1 {"email": "a@gmail.com", "account_id": "id1", "refresh_token": "canary1", "client_id": "c", "vmta_name": "vmta-id1", "provider": "gmail", "client_secret": "s3", "ip_address": "192.168.1.255"}`,
				`2 {"email": "b@example.com", "account_id": "id2", "refresh_token": "canary2", "client_id": "c", "vmta_name": "vmta-id2", "provider": "outlook", "ip_address": "192.168.2.0"}`,
			}},
		{"gmail without a secret", "a@gmail.com,id1,canary,c\n", ImportOptions{}, []string{`1 client_secret: is needed: gmail refuses`}},
		{"CSV", `Email,refresh_token,client_id,provider,max_recipients,send_client_secret,hostname,_note
a@example.com,"r,1""!*$.",c,outlook,7,TRUE,h,x
b@hotmail.com,r2,c,,,,,
c@hotmail.com,canary,c
d@hotmail.com,canary,c,outlook,many,,,
"e@hotmail.com,canary,c,,,,,
`, ImportOptions{}, []string{
			`2 {"email": "a@example.com", "refresh_token": "r,1\"!*$.", "client_id": "c", "provider": "outlook", "max_recipients": 7, "send_client_secret": true}`,
			`3 {"email": "b@hotmail.com", "refresh_token": "r2", "client_id": "c", "provider": "outlook"}`,
			`4 has 3 fields, the header 8`,
			`5 max_recipients: must be a whole number`,
			`6 extraneous or missing " in quoted-field`,
		}},
		{"JSON", `{"accounts": [
  // a comment
  {"_note": 1, "email": "a@hotmail.com", "refresh_token": "r", "client_id": "c", "retry": {"max_attempts": 3 /* c */}, "mine": [1, 2], "vmta_name": null},
  7,
  {"email": "b@hotmail.com",
   "client_id": "c"}
]}`, ImportOptions{}, []string{
			`3 {"email": "a@hotmail.com", "refresh_token": "r", "client_id": "c", "retry": {"max_attempts":3}, "mine": [1,2], "provider": "outlook"}`,
			`4 must be an account`,
			`5 refresh_token: is needed`,
		}},
		{"CSV of Excel", "email;refresh_token;client_id;_note\r\na@hotmail.com;r,1;c;\"x;y\"\r\nb@hotmail.com;r2;c\r\n", ImportOptions{}, []string{
			`2 {"email": "a@hotmail.com", "refresh_token": "r,1", "client_id": "c", "provider": "outlook"}`,
			`3 has 3 fields, the header 4`,
		}},
		{"CSV with its separator", "# list\n\"SEP=;\"\r\nclient_id;email;refresh_token\r\nc;a@hotmail.com;r\r\n", ImportOptions{}, []string{
			`4 {"client_id": "c", "email": "a@hotmail.com", "refresh_token": "r", "provider": "outlook"}`,
		}},
		{"CSV with a comma declared", "sep=,\nemail,refresh_token,client_id\na@hotmail.com,r;1,c\n", ImportOptions{}, []string{
			`3 {"email": "a@hotmail.com", "refresh_token": "r;1", "client_id": "c", "provider": "outlook"}`,
		}},
		{"CSV with lists of senders", "email,refresh_token,client_id,senders\na@hotmail.com,r,c,@a.example  b@c.example\nb@hotmail.com,r,c,\nc@hotmail.com,r,c,x\n", ImportOptions{}, []string{
			`2 {"email": "a@hotmail.com", "refresh_token": "r", "client_id": "c", "senders": ["@a.example","b@c.example"], "provider": "outlook"}`,
			`3 {"email": "b@hotmail.com", "refresh_token": "r", "client_id": "c", "provider": "outlook"}`,
			`4 senders[0]: must be an address such as`,
		}},
		{"CSV with tabs", "sep=\t\nemail\trefresh_token\tclient_id\na@hotmail.com\tr;1\tc\n", ImportOptions{}, []string{
			`3 {"email": "a@hotmail.com", "refresh_token": "r;1", "client_id": "c", "provider": "outlook"}`,
		}},
		{"CSV in UTF-8 of Excel", "\ufeffemail;refresh_token;client_id\njörg@hotmail.com;r;c\n", ImportOptions{}, []string{
			`2 {"email": "jörg@hotmail.com", "refresh_token": "r", "client_id": "c", "provider": "outlook"}`,
		}},
		{"nothing", "\n# nothing\n", ImportOptions{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := ReadImport(testBasis(), []byte(tt.list), tt.options)
			if err != nil {
				t.Fatal(err)
			}
			for i := range max(len(list), len(tt.want)) {
				got, want := "", ""
				if i < len(list) {
					got = shown(list[i])
				}
				if i < len(tt.want) {
					want = tt.want[i]
				}
				if !strings.HasPrefix(got, want) || want == "" || list[i].Err == nil && got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if text := fmt.Sprintf("%v %+v %#v", list, list, list); strings.Contains(text, "canary") {
				t.Errorf("a secret is shown: %s", text)
			}
		})
	}
}

func shown(im Imported) string {
	if im.Err != nil {
		return fmt.Sprintf("%d %v", im.Line, im.Err)
	}
	return fmt.Sprintf("%d %s", im.Line, im.Entry.pack())
}

func TestReadImportRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, list string
		format     ImportFormat
		want       string
	}{
		{"unknown column", "email,refresh_tokn\n", ImportAuto, `column 2, "refresh_tokn", is no key`},
		{"ignored column", "email,token\n", ImportAuto, `column 2, "token", is no key`},
		{"CSV without header", "", ImportCSV, "the header"},
		{"JSON that is none", `[{"refresh_token": "canary}]`, ImportAuto, "not valid JSON"},
		{"JSON without accounts", `{"a": 1}`, ImportAuto, `the array "accounts"`},
		{"a separator that cannot be", "sep=#\nemail#refresh_token\n", ImportAuto, "the header"},
		{"JSON in Latin-1", "[\n{\"email\": \"j\xf6rg@hotmail.com\", \"refresh_token\": \"canary\"}]", ImportAuto, "line 2: is not in UTF-8, maybe in Latin-1"},
		{"CSV in Latin-1", "email,refresh_token,client_id\na@hotmail.com,canary,c\nb@hotmail.com,canary\xe9,c\n", ImportAuto, "line 3: is not in UTF-8"},
		{"batch text in Latin-1", "j\xf6rg@hotmail.com,id,canary,c\n", ImportAuto, "line 1: is not in UTF-8"},
		{"UTF-16 of Excel", "\xff\xfee\x00m\x00a\x00i\x00l\x00\n\x00", ImportAuto, "line 1: is in UTF-16"},
		{"UTF-16, big end first, without a mark", "\x00[\x00]", ImportJSON, "line 1: is in UTF-16"},
		{"format", "", "xml", "no format"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list, err := ReadImport(testBasis(), []byte(tt.list), ImportOptions{Format: tt.format})
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
				t.Errorf("%v, %v, want %q", list, err, tt.want)
			}
		})
	}
}

// FuzzReadImport: what is read without a complaint can be put into a file, and
// no secret gets into a message.
func FuzzReadImport(f *testing.F) {
	f.Add("a@hotmail.com,id1,canary-secret,client,1,h\n")
	f.Add("email,refresh_token,client_id\na@hotmail.com,canary-secret,c\n")
	f.Add(`[{"email": "a@hotmail.com", "refresh_token": "canary-secret", "client_id": "c"}]`)
	b := testBasis()
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ReadImport(b, []byte(text), ImportOptions{Provider: "outlook"})
		if err != nil {
			return
		}
		for _, im := range list {
			if im.Err != nil {
				continue
			}
			l, err := newList("accounts.json", inMemory([]byte(emptyAccounts)), nil)
			if err != nil {
				t.Fatal(err)
			}
			l.Put(im.Entry)
			if _, err := checkText(nil, b, l.pack()); err != nil {
				t.Fatalf("%v in %s", err, l.pack())
			}
		}
	})
}
