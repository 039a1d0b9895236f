package fault

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"xoauth2-proxy/internal/sandbox/internal/wait"
)

// Validate reports what is wrong with the rule.
func (r Rule) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	actions := smtpActions
	switch {
	case r.Phase == PhaseToken:
		actions = tokenActions
	case !slices.Contains(SMTPPhases, r.Phase):
		bad("phase: %q is unknown", r.Phase)
	}
	if !slices.Contains(actions, r.Action) {
		bad("action: %q is unknown at phase %q", r.Action, r.Phase)
	}
	if r.Action == ActionReply && r.Phase != PhaseToken {
		if code := ReplyCode(r.Reply); code < 200 || code > 599 {
			bad("reply: %q does not begin with a reply code", r.Reply)
		}
	}
	if r.Action == ActionDropKeyword && (r.Phase != PhaseEHLO || r.Keyword == "") {
		bad("drop-keyword: needs phase ehlo and a keyword")
	}
	if r.Action == ActionWrongCertificate {
		kinds := []string{CertificateOtherName, CertificateOtherCA, CertificateExpired}
		if r.Phase != PhaseTLS || !slices.Contains(kinds, r.Certificate) {
			bad("wrong-certificate: needs phase tls and a certificate of %s", strings.Join(kinds, ", "))
		}
	}
	if r.Verb != "" && (r.Phase != PhaseCommand || r.Verb != VerbUnknown && !slices.Contains(Verbs, r.Verb)) {
		bad("verb: %q needs phase command and one of %s, %s", r.Verb, strings.Join(Verbs, ", "), VerbUnknown)
	}
	if r.Then != "" {
		without := []Phase{PhaseConnect, PhaseTLS, PhaseMidContent, PhaseToken}
		if !slices.Contains([]Action{ActionClose, ActionCut, ActionReset}, r.Then) || slices.Contains(without, r.Phase) {
			bad("then: %q is none of close, cut, reset, or there is no reply at phase %q", r.Then, r.Phase)
		}
	}
	if r.Phase != PhaseToken && (r.Fields != nil || r.Drop != nil || r.Headers != nil || r.BOM || r.Gzip) {
		bad("fields, drop, bom, gzip and headers are for phase token")
	}
	if r.Per != "" && r.Per != "connection" && r.Per != "account" {
		bad("per: %q is neither connection nor account", r.Per)
	}
	if r.Secure != "" && r.Secure != "clear" && r.Secure != "tls" {
		bad("secure: %q is neither clear nor tls", r.Secure)
	}
	if min(r.Nth, r.Every, r.Since, r.Times) < 0 || min(r.Delay, r.For, r.Interval) < 0 || r.Size < 0 || r.After < 0 {
		bad("negative numbers have no meaning here")
	}
	return errors.Join(errs...)
}

// normalize fills in the defaults of a valid rule.
func (r Rule) normalize(index int) Rule {
	r.Name = cmp.Or(r.Name, fmt.Sprintf("%s/%s#%d", r.Phase, r.Action, index))
	if r.Action == ActionAcceptThenClose {
		r.Action, r.Accept = ActionClose, true
	}
	r.Interval = cmp.Or(r.Interval, wait.Duration(10*time.Millisecond))
	r.Size = cmp.Or(r.Size, 1<<20)
	return r
}

// ReplyCode returns the code that a reply text begins with, or 0.
func ReplyCode(reply string) int {
	if len(reply) < 3 || len(reply) > 3 && reply[3] != ' ' {
		return 0
	}
	code, _ := strconv.ParseUint(reply[:3], 10, 16) // 0 on error
	return int(code)
}

// Garbage returns the bytes of ActionGarbage: Body, or bytes that no parser of
// replies accepts.
func (r *Rule) Garbage() []byte {
	return []byte(cmp.Or(r.Body, "\x00\xff\x16\x03 <html>this is no reply</html>\r\n"))
}
