package upstream

import (
	"strings"

	"xoauth2-proxy/codec"
)

// verdict is what a refusal of the provider means for the account, beyond the
// message that it answers.
type verdict uint8

const (
	verdictNone  verdict = iota
	verdictSlow          // too much at one time, or too fast
	verdictQuota         // nothing more for hours
	verdictHarm          // repeating it makes matters worse: an operator must act
)

// judge tells the refusals of the account from those of a message. What the
// codes mean is the providers' own documentation; 4.4.x with 421 speaks of the
// connection only.
func judge(e *Error) verdict {
	r := &e.Reply
	switch enh := r.Enhanced; {
	case r.Code < 400:
		return verdictNone
	case harmful(e):
		return verdictHarm
	case overQuota(r):
		return verdictQuota
	case r.Code == 432,
		r.Code == 421 && enh[1] != 4,
		(r.Code == 450 || r.Code == 451) && enh[0] == 4 && enh[1] == 7,
		r.Code == 454 && enh == codec.EnhancedCode{4, 7, 0}:
		return verdictSlow
	}
	return verdictNone
}

// harmful: the mailbox is full or barred, its sender blocked, or it may not
// submit at all. Microsoft bars a mailbox for longer when these are repeated.
func harmful(e *Error) bool {
	switch enh := e.Reply.Enhanced; {
	case e.Reply.Code == 550 && enh[0] == 5 && enh[1] == 2 && 251 <= enh[2] && enh[2] <= 255:
		return true
	case e.Reply.Code == 535 && enh == codec.EnhancedCode{5, 7, 139}:
		return true
	case e.Reply.Code == 550 && enh == codec.EnhancedCode{5, 1, 8}:
		return true
	case enh[0] == 5 && enh[1] == 7 && 500 <= enh[2] && enh[2] <= 509:
		return true
	case e.Reply.Code == 554 && enh == codec.EnhancedCode{5, 2, 2}:
		return e.Phase != PhaseRcpt // there it is a recipient's mailbox
	}
	return false
}

// overQuota: permanent by its code, over in a day at most. Microsoft's 554
// 5.2.0 is for many things, which its text tells apart.
func overQuota(r *codec.Reply) bool {
	switch r.Enhanced {
	case codec.EnhancedCode{5, 4, 5}:
		return r.Code == 550
	case codec.EnhancedCode{5, 2, 0}:
		return r.Code == 554 && strings.Contains(strings.ToLower(r.Text), "submissionquotaexceeded")
	}
	return false
}

// tooManyLogins: new logins are unwelcome for a while, live connections are not
// concerned.
func tooManyLogins(e *Error) bool {
	return e.Phase == PhaseAuth && e.Reply.Transient() && judge(e) == verdictSlow
}
