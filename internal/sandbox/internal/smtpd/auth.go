package smtpd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"xoauth2-proxy/internal/sandbox/internal/fault"
	"xoauth2-proxy/internal/sandbox/internal/mailbox"
)

// onAUTH handles AUTH (RFC 4954). Only a token logs in, except at an endpoint in
// clear.
func (s *session) onAUTH(args []byte) {
	p := s.ep.preset
	switch {
	case !s.greeted():
		return
	case s.needsTLS():
		s.refuse(ViolationAuthInClear, p.needTLS)
		return
	case s.box != nil || s.tx.open:
		s.refuse(ViolationSequence, "503 5.5.1 Already authenticated or in a transaction")
		return
	}
	word, initial, _ := bytes.Cut(args, []byte{' '})
	mech := strings.ToUpper(string(word))
	if !s.offer.mechanism(mech) {
		s.refuse(ViolationUnoffered, p.badMechanism)
		return
	}
	if mech != "XOAUTH2" && mech != "OAUTHBEARER" && s.tls != nil {
		s.srv.counters.count(func(c *Stats) { c.LoginFailures++ })
		s.reply(p.basicAuth)
		return
	}
	msg, ok := s.initialResponse(initial)
	if !ok {
		return
	}
	user, token, err := parseXOAUTH2(msg)
	switch mech {
	case "OAUTHBEARER":
		user, token, err = parseOAUTHBEARER(msg)
	case "PLAIN":
		user, err = parsePLAIN(msg)
	}
	if err != nil {
		s.refuse(ViolationSyntax, "501 5.5.2 Cannot decode the response: "+err.Error())
		return
	}
	s.guard(fault.PhaseAuth, func(ev *fault.Event) { ev.Account = user }, func() { s.login(mech, user, token) })
}

// needsTLS reports whether the session is in clear and must not be.
func (s *session) needsTLS() bool { return s.tls == nil && !s.ep.InClear }

// initialResponse returns the decoded SASL message. A 334 asks for it if it did not
// come with the command.
func (s *session) initialResponse(initial []byte) ([]byte, bool) {
	if len(initial) == 0 {
		s.reply("334 ")
		line, err := s.readLine(maxAuthLine)
		if err != nil || line == nil {
			s.lineError(err)
			return nil, false
		}
		initial = line
	}
	if string(initial) == "*" {
		s.reply("501 5.0.0 Authentication cancelled")
		return nil, false
	}
	msg, err := base64.StdEncoding.Strict().DecodeString(string(initial))
	if err != nil {
		s.refuse(ViolationSyntax, "501 5.5.2 Cannot Decode response")
		return nil, false
	}
	return msg, true
}

// login checks the token, if the mechanism has one. It logs the mailbox in, or
// refuses as the provider does.
func (s *session) login(mech, user, token string) {
	p := s.ep.preset
	box := s.srv.cfg.Boxes.Mailbox(user)
	good := box != nil && box.Endpoint == s.ep.Name
	if mech != "PLAIN" {
		good = s.srv.cfg.Accepts(box, token, s.ep.Name)
	}
	if !good {
		s.srv.counters.count(func(c *Stats) { c.LoginFailures++ })
		if box != nil {
			box.Count(func(st *mailbox.Stats) { st.LoginFailures++ })
		}
		if p.challenge && mech == "XOAUTH2" || mech == "OAUTHBEARER" {
			s.challenge(mech)
		}
		if !s.ended {
			s.reply(p.replies[replyBadToken])
		}
		return
	}
	if limit := box.Login(s.id, &s.ep.limits, p.atLogin, s.srv.cfg.Now()); limit != "" {
		s.refuseVerb(p.replies[limit])
		return
	}
	s.box = box
	s.srv.counters.count(func(c *Stats) { c.Logins++ })
	s.reply("235 2.7.0 Accepted")
}

// challenge sends the 334 with the error in JSON, and awaits the answer that
// has no content: an empty line (XOAUTH2) or one %x01 (RFC 7628 section 3.2.3).
func (s *session) challenge(mech string) {
	text, want := `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`, ""
	if mech == "OAUTHBEARER" {
		text, want = `{"status":"invalid_token","schemes":"bearer","scope":"https://mail.google.com/"}`, "AQ=="
	}
	s.reply("334 " + base64.StdEncoding.EncodeToString([]byte(text)))
	line, err := s.readLine(maxAuthLine)
	if err != nil || line == nil {
		s.lineError(err)
		return
	}
	if string(line) != want {
		s.violation(ViolationChallengeAnswer)
	}
}

var errSASL = errors.New("malformed message")

// parseXOAUTH2 reads "user=" user ^A "auth=Bearer " token ^A ^A, and nothing else.
func parseXOAUTH2(msg []byte) (user, token string, err error) {
	rest, ok1 := strings.CutPrefix(string(msg), "user=")
	user, rest, ok2 := strings.Cut(rest, "\x01auth=Bearer ")
	token, ok3 := strings.CutSuffix(rest, "\x01\x01")
	if !ok1 || !ok2 || !ok3 || user == "" || token == "" || strings.ContainsAny(user+token, "\x00\x01 \r\n") {
		return "", "", errSASL
	}
	return user, token, nil
}

// parseOAUTHBEARER reads the message of RFC 7628 section 3.1. The user is the
// authorization identity of the GS2 header.
func parseOAUTHBEARER(msg []byte) (user, token string, err error) {
	text, ok := strings.CutSuffix(string(msg), "\x01\x01")
	fields := strings.Split(text, "\x01")
	if !ok || len(fields) < 2 {
		return "", "", errSASL
	}
	user, okStart := strings.CutPrefix(fields[0], "n,a=")
	user, okEnd := strings.CutSuffix(user, ",")
	if !okStart || !okEnd || user == "" {
		return "", "", fmt.Errorf("%w: GS2 header", errSASL)
	}
	for _, f := range fields[1:] {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			return "", "", errSASL
		case key == "auth":
			if token, ok = strings.CutPrefix(value, "Bearer "); !ok {
				return "", "", errSASL
			}
		case key != "host" && key != "port":
			return "", "", fmt.Errorf("%w: key %q", errSASL, key)
		}
	}
	if token == "" {
		return "", "", errSASL
	}
	return strings.NewReplacer("=2C", ",", "=3D", "=").Replace(user), token, nil
}

// parsePLAIN reads the message of RFC 4616. Any password is accepted, but none is
// an error.
func parsePLAIN(msg []byte) (user string, err error) {
	fields := strings.Split(string(msg), "\x00")
	if len(fields) != 3 || fields[1] == "" || fields[2] == "" {
		return "", errSASL
	}
	return fields[1], nil
}
