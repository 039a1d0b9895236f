package upstream

import (
	"bufio"
	"crypto/tls"
	"strings"
	"sync"
	"testing"

	"xoauth2-proxy/codec"
	"xoauth2-proxy/internal/account"
	"xoauth2-proxy/oauth"
)

// authScript is a provider that answers the lines of logins from a list, one
// list for each connection, and keeps what it heard: "initial" is AUTH with the
// response, "alone" AUTH without it, "response" the response on its own line.
type authScript struct {
	mu    sync.Mutex
	lists [][]string
	heard [][]string
}

// tokenRefusal is the challenge of a provider that refuses a token.
var tokenRefusal = "334 " + string(codec.AppendBase64(nil, []byte(`{"status":"401","schemes":"Bearer"}`)))

func (s *authScript) serve(c *tls.Conn) {
	s.mu.Lock()
	n := len(s.heard)
	s.heard = append(s.heard, nil)
	var replies []string
	if n < len(s.lists) {
		replies = s.lists[n]
	}
	s.mu.Unlock()
	in := bufio.NewReader(c)
	if !say(c, "220 stub\r\n") {
		return
	}
	if _, err := in.ReadString('\n'); err != nil || !say(c, "250-stub\r\n250-AUTH XOAUTH2 OAUTHBEARER\r\n250-PIPELINING\r\n250 CHUNKING\r\n") {
		return
	}
	for _, reply := range replies {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, response := readAuthLine(strings.TrimSuffix(line, "\r\n"))
		s.mu.Lock()
		s.heard[n] = append(s.heard[n], word)
		s.mu.Unlock()
		if reply == "" || !say(c, strings.ReplaceAll(reply, "ECHO", response)+"\r\n") {
			return
		}
	}
	s.afterLogin(c, in)
}

// afterLogin takes messages by BDAT, to one recipient.
func (s *authScript) afterLogin(c *tls.Conn, in *bufio.Reader) {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		reply := "250 2.0.0 ok\r\n"
		if strings.HasPrefix(line, "BDAT 3 ") {
			if _, err := in.Discard(3); err != nil {
				return
			}
		} else if strings.HasPrefix(line, "QUIT") {
			reply = "221 2.0.0 bye\r\n"
		}
		if !say(c, reply) {
			return
		}
	}
}

// readAuthLine names a line of a login and returns the response in it.
func readAuthLine(line string) (word, response string) {
	if rest, ok := strings.CutPrefix(line, "AUTH "); ok {
		_, response, with := strings.Cut(rest, " ")
		if !with {
			return "alone", ""
		}
		return "initial", response
	}
	if strings.HasPrefix(line, "dXNlcj1") || strings.HasPrefix(line, "bixhP") { // "user=", "n,a="
		return "response", line
	}
	return line, ""
}

func (s *authScript) words() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, words := range s.heard {
		all = append(all, strings.Join(words, ","))
	}
	return all
}

// TestAuthDialogs has providers answer AUTH in odd ways.
func TestAuthDialogs(t *testing.T) {
	const auto, always, never = account.InitialResponseAuto, account.InitialResponseAlways, account.InitialResponseNever
	const ok = "235 2.7.0 ok"
	for _, tt := range []struct {
		name    string
		long    bool // the line has more than 512 octets with an initial response
		setting account.InitialResponse
		replies []string // to the lines of the first connection
		heard   string
		again   string // heard at the next login, if the first is successful
		want    string // of the client's reply
		parts   string // of it, parted by "|"
		class   oauth.Class
	}{
		{name: "initial", setting: auto, replies: []string{ok}, heard: "initial", again: "initial", want: "250 "},
		{name: "long", long: true, setting: auto, replies: []string{"334 ", ok}, heard: "alone,response", again: "alone,response", want: "250 "},
		{name: "never", setting: never, replies: []string{"334 ", ok}, heard: "alone,response", again: "alone,response", want: "250 "},
		{name: "always", long: true, setting: always, replies: []string{ok}, heard: "initial", again: "initial", want: "250 "},
		{name: "first 334 with words", long: true, setting: auto, replies: []string{"334 XOAUTH2 supported", ok}, heard: "alone,response",
			again: "alone,response", want: "250 "},
		{name: "initial response passed over", setting: auto, replies: []string{"334 ", ok}, heard: "initial,response", again: "initial", want: "250 "},
		{name: "passed over, then refused", setting: auto, replies: []string{"334 ", tokenRefusal, "535 5.7.8 no"}, heard: "initial,response,",
			want: "451 4.7.0", parts: "535 5.7.8 no", class: oauth.ClassTokenRefused},
		{name: "passed over, then empty again", setting: auto, replies: []string{"334 ", "334 ", "535 5.7.8 no"}, heard: "initial,response,",
			want: "451 4.7.0", parts: "535 5.7.8 no", class: oauth.ClassTokenRefused},
		{name: "refused by a challenge", setting: auto, replies: []string{tokenRefusal, "535 5.7.8 no"}, heard: "initial,",
			want: "451 4.7.0", parts: "535 5.7.8 no", class: oauth.ClassTokenRefused},
		{name: "long, refused by a challenge", long: true, setting: auto, replies: []string{"334 ", tokenRefusal, "535 5.7.8 no"}, heard: "alone,response,",
			want: "451 4.7.0", parts: "535 5.7.8 no", class: oauth.ClassTokenRefused},
		{name: "challenge, then 501", setting: auto, replies: []string{tokenRefusal, "501 5.5.2 cancelled"}, heard: "initial,",
			want: "451 4.7.0", parts: "501 5.5.2|expired or was revoked", class: oauth.ClassTokenRefused},
		{name: "504 to the initial response", setting: auto, replies: []string{"504 5.5.4 no", "334 ", ok}, heard: "initial,alone,response",
			again: "alone,response", want: "250 "},
		{name: "501 to the initial response", setting: auto, replies: []string{"501 5.5.4 no", "334 ", ok}, heard: "initial,alone,response",
			again: "alone,response", want: "250 "},
		{name: "bare 501 to the initial response", setting: always, replies: []string{"501 Syntax error", "334 ", ok}, heard: "initial,alone,response",
			again: "alone,response", want: "250 "},
		{name: "504 to AUTH alone", long: true, setting: auto, replies: []string{"504 5.5.4 no", ok}, heard: "alone,initial", again: "initial", want: "250 "},
		{name: "501 to the response", setting: never, replies: []string{"334 ", "501 5.5.2 cannot decode", ok}, heard: "alone,response,initial",
			again: "initial", want: "250 "},
		{name: "504 to both", setting: auto, replies: []string{"504 5.7.4 unknown mechanism", "504 5.7.4 still"}, heard: "initial,alone",
			want: "451 4.7.0", parts: "504 5.7.4 unknown mechanism", class: oauth.ClassLoginRefused},
		{name: "501 to both", setting: auto, replies: []string{"501 5.5.2 no", "501 5.5.2 no"}, heard: "initial,alone",
			want: "451 4.5.2", parts: "501 5.5.2 no|initial_response", class: oauth.ClassUnavailable},
		{name: "501, then the end", setting: auto, replies: []string{"501 5.5.4 first words", ""}, heard: "initial,alone",
			want: "451 4.5.2", parts: "first words", class: oauth.ClassUnavailable},
		{name: "504, then the token is refused", setting: auto, replies: []string{"504 5.5.4 no", "334 ", "535 5.7.8 no"}, heard: "initial,alone,response",
			want: "451 4.7.0", parts: "535 5.7.8 no", class: oauth.ClassTokenRefused},
		{name: "a token near its expiry", setting: auto, replies: []string{"501 5.5.127 Token expires soon"}, heard: "initial",
			want: "451 4.7.0", parts: "5.5.127", class: oauth.ClassTokenRefused},
		{name: "555 5.5.2", long: true, setting: always, replies: []string{"555 5.5.2 Syntax error"}, heard: "initial",
			want: "451 4.5.2", parts: "555 5.5.2|initial_response", class: oauth.ClassUnavailable},
		{name: "500 5.5.6", long: true, setting: always, replies: []string{"500 5.5.6 Line too long"}, heard: "initial",
			want: "451 4.5.2", parts: "500 5.5.6|initial_response", class: oauth.ClassUnavailable},
		{name: "bare 500", setting: auto, replies: []string{"500 Line too long"}, heard: "initial",
			want: "451 4.5.2", parts: "500 Line too long|initial_response", class: oauth.ClassUnavailable},
		{name: "500 to the response", long: true, setting: auto, replies: []string{"334 ", "500 5.5.2 Line too long"}, heard: "alone,response",
			want: "451 4.5.2", parts: "500 5.5.2|initial_response", class: oauth.ClassUnavailable},
		{name: "the line is quoted", setting: auto, replies: []string{`500 5.5.1 Command unrecognized: "AUTH XOAUTH2 ECHO"`}, heard: "initial",
			want: "451 4.5.2", parts: "<secret>", class: oauth.ClassUnavailable},
		{name: "the response is quoted", setting: never, replies: []string{"334 ", "535 5.7.8 no ECHO..."}, heard: "alone,response",
			want: "451 4.7.0", parts: "535 5.7.8 no <secret>...", class: oauth.ClassTokenRefused},
	} {
		for _, m := range []account.Mechanism{account.MechanismXOAUTH2, account.MechanismOAUTHBEARER} {
			t.Run(tt.name+"/"+string(m), func(t *testing.T) {
				f := newFixture(t, func(s *setup) {
					s.box.Tokens.Length = 100
					s.limits.MaxMessagesPerConnection = 1
					if tt.long {
						s.box.Tokens.Length = 600
					}
				})
				heard := tt.heard
				if m == account.MechanismOAUTHBEARER && strings.HasSuffix(heard, ",") {
					heard += "AQ=="
				}
				p := &authScript{lists: [][]string{tt.replies, {ok}}}
				if strings.HasSuffix(tt.again, "response") {
					p.lists[1] = []string{"334 ", ok}
				}
				a := withMechanism(newStub(t, p.serve).account(f.accounts[0]), m)
				a.InitialResponse = tt.setting
				res := f.send(a, "to@example.com", "a\r\n")
				got := res.Reply.String()
				for _, part := range append(strings.Split(tt.parts, "|"), tt.want) {
					if !strings.Contains(got, part) {
						t.Errorf("the client is told %q, want %q", got, part)
					}
				}
				if res.Err != nil {
					f.checkRefusal(a, res, tt.class)
				}
				want := []string{heard}
				if tt.again != "" {
					f.sendOK(a, "b\r\n")
					want = append(want, tt.again)
				}
				if got := p.words(); strings.Join(got, "|") != strings.Join(want, "|") {
					t.Errorf("the provider heard %q, want %q", got, want)
				}
			})
		}
	}
}

// checkRefusal checks what a refused login leads to: the class, no hold, one
// token request, and no part of the response in what is told.
func (f *fixture) checkRefusal(a *account.Account, res Result, class oauth.Class) {
	f.t.Helper()
	got, _, ok := res.Err.Explain()
	if !ok || got != class {
		f.t.Errorf("%v is %v, want %v", res.Err, got, class)
	}
	if class == oauth.ClassUnavailable && strings.Contains(res.Reply.Text, "operator must act") {
		f.t.Errorf("the client is told %q", res.Reply.Text)
	}
	if st, _ := f.relay.Standing(a.ID); st != nil && st.Stopped != "" {
		f.t.Errorf("the account is %s", st.Stopped)
	}
	if n := f.box.AccountStats(a.Email).TokenRequests; n != 1 {
		f.t.Errorf("%d token requests", n)
	}
	if all := res.Reply.String() + res.Err.Error(); strings.Contains(all, "dXNlcj1") || strings.Contains(all, "bixhP") {
		f.t.Errorf("the response is shown: %s", all)
	}
}
